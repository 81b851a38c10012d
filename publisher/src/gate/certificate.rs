//! Who a client certificate says that its bearer is. The chain was checked by TLS.

use std::collections::BTreeSet;

use rustls::pki_types::CertificateDer;
use writ_core::access::{Identity, Inlet};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::token::is_name;

/// What counts of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    user: String,
    groups: BTreeSet<String>,
    pub(super) expires_s: i64,
}

impl Certificate {
    /// Reads one; nothing where it names no user.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let mut names = subject.iter_common_name();
        let user = names.next()?.as_str().ok()?.to_owned();
        // Of two names one would be overlooked.
        if names.next().is_some() || !is_name(&user) {
            return None;
        }
        let groups: Result<BTreeSet<String>, _> = subject
            .iter_organization()
            .map(|group| group.as_str().map(str::to_owned))
            .collect();
        let groups = groups
            .ok()
            .filter(|groups| groups.iter().all(|group| is_name(group)));
        Some(Certificate {
            user,
            groups: groups?,
            expires_s: certificate.validity().not_after.timestamp(),
        })
    }

    /// Its bearer; nothing once it has expired, which a connection may outlive.
    pub(super) fn identity(&self, now_s: i64) -> Option<Identity> {
        (now_s <= self.expires_s).then(|| Identity {
            inlet: Inlet::Certificate,
            user: self.user.clone(),
            groups: self.groups.clone(),
        })
    }
}
