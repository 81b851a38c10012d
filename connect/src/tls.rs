//! What a client checks of a server, and shows of itself.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};

use crate::pem;

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    File(#[from] pem::Error),
    /// What a file holds.
    #[error("{what} can't be used")]
    Unusable {
        /// Which thing.
        what: &'static str,
        /// Why.
        source: rustls::Error,
    },
    /// Nothing says whom to believe.
    #[error("this machine has no list of certificate authorities: name one by a file")]
    NoRoots,
}

/// The one implementation of cryptography that is linked.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The authorities of a file, or those of this machine.
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in pem::certificates(path)? {
            roots.add(certificate).map_err(|source| Error::Unusable {
                what: "the certificate authority",
                source,
            })?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(Error::NoRoots);
    }
    Ok(roots)
}

/// A client that believes these authorities, shows a certificate if it has one, and speaks one protocol.
pub fn client(
    ca_file: Option<&Path>,
    shows: Option<(&Path, &Path)>,
    protocol: &[u8],
) -> Result<Arc<ClientConfig>, Error> {
    let unusable = |what| move |source| Error::Unusable { what, source };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable("TLS"))?
        .with_root_certificates(roots(ca_file)?);
    let mut config = match shows {
        Some((certificate, key)) => builder
            .with_client_auth_cert(pem::certificates(certificate)?, pem::key(key)?)
            .map_err(unusable("the client certificate"))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// How rustls tells what the other side said.
const ALERT: &str = "received fatal alert: ";

/// The alerts by which a server refuses a certificate (RFC 8446, section 6.2). An unknown authority's
/// certificate that bears a known one's name fails by its signature.
const REFUSALS: [&str; 9] = [
    "BadCertificate",
    "UnsupportedCertificate",
    "CertificateRevoked",
    "CertificateExpired",
    "CertificateUnknown",
    "CertificateRequired",
    "UnknownCA",
    "DecryptError",
    "AccessDenied",
];

/// Whether an error says that the other side does not take the certificate that was shown. A server says
/// so after the handshake; the HTTP library passes on the words alone.
pub fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>()
            && let Some((_, alert)) = error.to_string().split_once(ALERT)
        {
            return REFUSALS.contains(&alert);
        }
        cause = error.source();
    }
    false
}
