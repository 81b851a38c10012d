//! The certificates of one cluster: an authority of its own, what its API servers show, who
//! its administrator and controller manager are, and the key that signs ServiceAccount tokens.
//! All keys are ECDSA P-256, which every part knows and which take no time to make.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};

use crate::files;

/// Why certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key or certificate could not be made.
    #[error("could not make the certificates")]
    Make(#[from] rcgen::Error),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] files::Error),
}

/// The group that the API server's authoriser lets do everything.
const ADMIN_GROUP: &str = "system:masters";

/// A client certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What a cluster's processes and clients show each other.
pub(super) struct Certificates {
    /// The authority, in PEM.
    pub(super) authority: String,
    pub(super) admin: Identity,
    pub(super) controller_manager: Identity,
    folder: PathBuf,
}

impl Certificates {
    /// Makes all of them and writes those that the servers read from files.
    pub(super) fn make(cluster: &str, folder: &Path) -> Result<Self, Error> {
        let authority = authority(&format!("writ-sandbox {cluster}"))?;
        let serving = serving(&authority, "kube-apiserver")?;
        let admin = client(&authority, "writ-sandbox-admin", Some(ADMIN_GROUP))?;
        let controller_manager = client(&authority, "system:kube-controller-manager", None)?;
        let account = KeyPair::generate()?;
        let certificates = Self {
            authority: authority.pem(),
            admin,
            controller_manager,
            folder: folder.into(),
        };
        for (path, text) in [
            (certificates.authority_file(), &certificates.authority),
            (certificates.serving_file(), &serving.certificate),
            (certificates.serving_key_file(), &serving.key),
            (certificates.account_key_file(), &account.serialize_pem()),
            (
                certificates.account_public_key_file(),
                &account.public_key_pem(),
            ),
        ] {
            files::write(&path, text)?;
        }
        Ok(certificates)
    }

    pub(super) fn authority_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(super) fn serving_file(&self) -> PathBuf {
        self.folder.join("serving.pem")
    }

    pub(super) fn serving_key_file(&self) -> PathBuf {
        self.folder.join("serving.key")
    }

    pub(super) fn account_key_file(&self) -> PathBuf {
        self.folder.join("service-account.key")
    }

    pub(super) fn account_public_key_file(&self) -> PathBuf {
        self.folder.join("service-account.pub")
    }
}

/// An authority, with its key.
pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// Makes an authority.
pub(crate) fn authority(name: &str) -> Result<Authority, Error> {
    let mut params = named(name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A server's certificate, for this machine's loopback.
pub(crate) fn serving(authority: &Authority, name: &str) -> Result<Identity, Error> {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = named(name, None).distinguished_name;
    signed(params, ExtendedKeyUsagePurpose::ServerAuth, authority)
}

/// A client's certificate.
pub(crate) fn client(
    authority: &Authority,
    name: &str,
    group: Option<&str>,
) -> Result<Identity, Error> {
    signed(
        named(name, group),
        ExtendedKeyUsagePurpose::ClientAuth,
        authority,
    )
}

/// A client's certificate that ended years ago.
pub(crate) fn expired_client(authority: &Authority, name: &str) -> Result<Identity, Error> {
    let mut params = named(name, None);
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    signed(params, ExtendedKeyUsagePurpose::ClientAuth, authority)
}

/// The list of the certificates that an authority has revoked, in PEM: those of these keys. `number` goes up
/// with each list.
pub(crate) fn revocations(
    authority: &Authority,
    number: u64,
    keys: &[KeyPair],
) -> Result<String, Error> {
    let revoked = |key: &KeyPair| RevokedCertParams {
        serial_number: serial(key),
        revocation_time: rcgen::date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(4000, 1, 1),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: keys.iter().map(revoked).collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    Ok(list.signed_by(authority)?.pem()?)
}

/// The number of a certificate: a part of its key, of which there is one.
fn serial(key: &KeyPair) -> SerialNumber {
    SerialNumber::from_slice(&key.public_key_raw()[1..17])
}

fn named(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    params
}

fn signed(
    mut params: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
    authority: &Authority,
) -> Result<Identity, Error> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    params.serial_number = Some(serial(&key));
    let certificate = params.signed_by(&key, authority)?.pem();
    Ok(Identity {
        certificate,
        key: key.serialize_pem(),
    })
}
