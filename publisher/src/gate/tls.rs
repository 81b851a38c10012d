//! The API's and the dashboard's side of TLS, read again when its files change.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use writ_connect::{pem, tls};
use writ_telemetry::describe;

use super::{Args, Error};

/// How often the files are looked at; a certificate is replaced days before it ends.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The configuration for the next connection.
pub(crate) struct Tls {
    files: Files,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

/// By what a change of a file shows.
type Stamp = Option<(SystemTime, u64)>;

struct Files {
    whose: &'static str,
    protocol: &'static [u8],
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    client_crl: Option<PathBuf>,
}

impl Tls {
    /// Reads the files; nothing where none are given.
    pub(super) fn new(args: &Args) -> Result<Option<Tls>, Error> {
        let (Some(certificate), Some(key)) = (&args.tls_cert_file, &args.tls_key_file) else {
            return Ok(None);
        };
        let files = Files {
            whose: "the API",
            protocol: b"h2",
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: args.client_ca_file.clone(),
            client_crl: args.client_crl_file.clone(),
        };
        Tls::of(files).map(Some)
    }

    /// For browsers, which show no certificate.
    pub(crate) fn of_pages(certificate: &Path, key: &Path) -> Result<Tls, Error> {
        Tls::of(Files {
            whose: "the dashboard",
            protocol: b"http/1.1",
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            client_ca: None,
            client_crl: None,
        })
    }

    fn of(files: Files) -> Result<Tls, Error> {
        let current = Current {
            stamps: files.stamps(),
            config: files.read()?,
            looked: Instant::now(),
        };
        Ok(Tls {
            files,
            current: Mutex::new(current),
        })
    }

    /// What the files say now. Files that are no good leave what they said before.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_PERIOD {
            current.looked = Instant::now();
            let stamps = self.files.stamps();
            if stamps != current.stamps {
                current.stamps = stamps;
                match self.files.read() {
                    Ok(config) => {
                        current.config = config;
                        tracing::info!("{}'s certificate was read again", self.files.whose);
                    }
                    Err(error) => tracing::error!(
                        "{} goes on with its old certificate: {}",
                        self.files.whose,
                        describe(&error)
                    ),
                }
            }
        }
        Arc::clone(&current.config)
    }
}

impl Files {
    fn stamps(&self) -> Vec<Stamp> {
        let further = [&self.client_ca, &self.client_crl].into_iter().flatten();
        let files = [&self.certificate, &self.key].into_iter().chain(further);
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        files.map(stamp).collect()
    }

    fn read(&self) -> Result<Arc<ServerConfig>, Error> {
        let unusable = |what| move |source| tls::Error::Unusable { what, source };
        let builder = ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable("TLS"))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots: RootCertStore = tls::roots(Some(path))?;
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
                        // People come without a certificate and bring a token.
                        .allow_unauthenticated();
                if let Some(path) = &self.client_crl {
                    verifier =
                        verifier.with_crls(pem::revocations(path).map_err(tls::Error::File)?);
                }
                builder.with_client_cert_verifier(verifier.build().map_err(Error::Verifier)?)
            }
        };
        let certificates = pem::certificates(&self.certificate).map_err(tls::Error::File)?;
        let key = pem::key(&self.key).map_err(tls::Error::File)?;
        let mut config = builder
            .with_single_cert(certificates, key)
            .map_err(unusable("the server's certificate"))?;
        config.alpn_protocols = vec![self.protocol.to_vec()];
        Ok(Arc::new(config))
    }
}
