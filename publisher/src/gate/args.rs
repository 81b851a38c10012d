//! What the gate is started with.

use std::path::PathBuf;

/// How callers reach the API and say who they are.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// File with the API's certificate and its chain, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// File with the key of the API's certificate, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
    /// Serve without TLS, on a loopback address; callers still have to say who they are
    #[arg(long, conflicts_with = "tls_cert_file")]
    pub insecure_plaintext: bool,
    /// File with the authority of client certificates, in PEM: the common name is the user, the
    /// organizations are the groups
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub client_ca_file: Option<PathBuf>,
    /// File with lists of revoked client certificates, in PEM
    #[arg(long, value_name = "FILE", requires = "client_ca_file")]
    pub client_crl_file: Option<PathBuf>,
    /// File that says which issuers' tokens are taken (docs/operating.md)
    #[arg(long, value_name = "FILE")]
    pub authentication_file: Option<PathBuf>,
    /// File with the hash of the break-glass token, as `writ token break-glass` makes it
    #[arg(long, value_name = "FILE")]
    pub break_glass_file: Option<PathBuf>,
    /// Calls a second of one caller; four times as many at once
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub calls_per_second: u32,
}
