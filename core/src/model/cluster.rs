//! The registry entry of a cluster.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::choice::{self, Mode, Phase, Visibility};
use super::enrolment::{self, Enrolment};
use super::fields::Fields;
use super::limits::{CA_BUNDLE_MAX_BYTES, ENDPOINT_MAX_BYTES};
use super::metadata;
use super::report::{Report, quoted};
use super::selector::ClusterIdentity;
use super::syntax;
use crate::name::{ClusterName, Region, Stage};

const SPEC: [&str; 9] = [
    "region",
    "stage",
    "endpoint",
    "caBundle",
    "visibility",
    "mode",
    "phase",
    "keys",
    "enrolment",
];

/// Length of an nkey's public part as text: 35 bytes in base32.
const NKEY_LENGTH_CHARS: usize = 56;

/// Length of an Ed25519 public key, in bytes.
const ACK_KEY_LENGTH_BYTES: usize = 32;

/// The public keys of a cluster, both made in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterKeys {
    /// Its identity on the bus: an nkey user key, `U…`.
    pub bus: String,
    /// The key that signs its acks and pulses: an Ed25519 public key in base64.
    pub ack: String,
}

/// A cluster of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in the registry.
    pub name: ClusterName,
    /// Labels, which policies may select by.
    pub labels: BTreeMap<String, String>,
    /// Annotations, for people and tools.
    pub annotations: BTreeMap<String, String>,
    /// Its region; does not change for a name.
    pub region: Region,
    /// Its stage; does not change for a name.
    pub stage: Stage,
    /// URL of its API server, for people.
    pub endpoint: Option<String>,
    /// CA of that server, PEM in base64.
    pub ca_bundle: Option<String>,
    /// Who may see this entry.
    pub visibility: Visibility,
    /// What its subscriber does.
    pub mode: Mode,
    /// How far it belongs to the fleet. Set by the fleet's own commands.
    pub phase: Phase,
    /// Its public keys, once it has enrolled. Set by enrolment.
    pub keys: Option<ClusterKeys>,
    /// What it may enrol with. Does not travel to clusters.
    pub enrolment: Option<Enrolment>,
}

impl Cluster {
    /// What selectors look at.
    pub fn identity(&self) -> ClusterIdentity {
        ClusterIdentity {
            name: self.name.clone(),
            region: self.region.clone(),
            stage: self.stage.clone(),
            labels: self.labels.clone(),
        }
    }

    /// Reads a document of kind `Cluster`.
    pub(super) fn read(document: &Fields<'_>, report: &mut Report) -> Option<Cluster> {
        let metadata = metadata::read_document(document, ClusterName::parse, report);
        if document.get("spec").is_none() {
            report.refuse(document.path("spec"), "is required");
        }
        let spec = document.open_field("spec", &SPEC, report)?;
        let region = spec.parsed("region", Region::parse, report);
        let stage = spec.parsed("stage", Stage::parse, report);
        let endpoint = read_checked(&spec, "endpoint", check_endpoint, report);
        let ca_bundle = read_checked(&spec, "caBundle", check_ca_bundle, report);
        let visibility = choice::read(&spec, "visibility", report);
        let mode = choice::read(&spec, "mode", report);
        let keys = read_keys(&spec, report);
        let phase = enrolment::read_phase(&spec, keys.is_some(), report);
        let enrolment = enrolment::read(&spec, report);
        let metadata = metadata?;
        Some(Cluster {
            name: metadata.name,
            labels: metadata.labels,
            annotations: metadata.annotations,
            region: region?,
            stage: stage?,
            endpoint,
            ca_bundle,
            visibility,
            mode,
            phase,
            keys,
            enrolment,
        })
    }

    /// Whether edits wait for its word: it is enrolled, stays, and does what it is told.
    pub fn is_counted(&self) -> bool {
        self.phase == Phase::Active && self.mode == Mode::Enforce
    }

    /// The `spec` of the compiled form.
    pub(super) fn spec_to_json(&self) -> Value {
        let mut spec = Map::new();
        let mut insert = |key: &str, value: Value| spec.insert(key.to_owned(), value);
        insert("region", self.region.as_str().into());
        insert("stage", self.stage.as_str().into());
        insert("visibility", self.visibility.as_str().into());
        insert("mode", self.mode.as_str().into());
        insert("phase", self.phase.as_str().into());
        if let Some(endpoint) = &self.endpoint {
            insert("endpoint", endpoint.as_str().into());
        }
        if let Some(ca_bundle) = &self.ca_bundle {
            insert("caBundle", ca_bundle.as_str().into());
        }
        if let Some(keys) = &self.keys {
            insert("keys", json!({"bus": keys.bus, "ack": keys.ack}));
        }
        Value::Object(spec)
    }
}

fn read_keys(spec: &Fields<'_>, report: &mut Report) -> Option<ClusterKeys> {
    let keys = spec.open_field("keys", &["bus", "ack"], report)?;
    let bus = keys.parsed(
        "bus",
        |text| check_bus_key(text).map(|()| text.to_owned()),
        report,
    );
    let ack = keys.parsed(
        "ack",
        |text| check_ack_key(text).map(|()| text.to_owned()),
        report,
    );
    Some(ClusterKeys {
        bus: bus?,
        ack: ack?,
    })
}

fn read_checked(
    spec: &Fields<'_>,
    key: &str,
    check: impl Fn(&str) -> Result<(), String>,
    report: &mut Report,
) -> Option<String> {
    spec.get(key)?;
    spec.parsed(key, |text| check(text).map(|()| text.to_owned()), report)
}

fn check_bus_key(text: &str) -> Result<(), String> {
    let is_base32 = text
        .bytes()
        .all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b));
    if text.starts_with('U') && text.len() == NKEY_LENGTH_CHARS && is_base32 {
        Ok(())
    } else {
        Err(format!(
            "must be the public key of an nkey user: U and {} characters of base32",
            NKEY_LENGTH_CHARS - 1
        ))
    }
}

pub(super) fn check_ack_key(text: &str) -> Result<(), String> {
    match BASE64.decode(text.as_bytes()) {
        Ok(bytes) if bytes.len() == ACK_KEY_LENGTH_BYTES => Ok(()),
        _ => Err(format!(
            "must be an Ed25519 public key: {ACK_KEY_LENGTH_BYTES} bytes in padded base64"
        )),
    }
}

fn check_ca_bundle(text: &str) -> Result<(), String> {
    match BASE64.decode(text.as_bytes()) {
        Ok(bytes) if bytes.is_empty() => Err("must not be empty, leave it out".to_owned()),
        Ok(bytes) if bytes.len() > CA_BUNDLE_MAX_BYTES => Err(format!(
            "holds {} bytes, the limit is {CA_BUNDLE_MAX_BYTES}",
            bytes.len()
        )),
        Ok(_) => Ok(()),
        Err(_) => Err("must be base64, padded and on one line".to_owned()),
    }
}

/// An https URL of a host, an optional port and an optional path. Nothing dials it yet; what is
/// refused is what could mislead a reader: other schemes, credentials, queries.
fn check_endpoint(text: &str) -> Result<(), String> {
    syntax::check_length(text, ENDPOINT_MAX_BYTES)?;
    let refuse = || {
        format!(
            "{} must be an https URL: https://HOST[:PORT][/PATH]",
            quoted(text)
        )
    };
    let rest = text.strip_prefix("https://").ok_or_else(refuse)?;
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '\\');
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand inside its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let is_address = host.starts_with('[') && host.ends_with(']');
    let is_host = !host.is_empty() && (is_address || !host.contains(['[', ']', ':']));
    if rest.chars().all(is_plain) && is_host && port.is_none_or(is_port) {
        Ok(())
    } else {
        Err(refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_plain_https_urls() {
        for good in [
            "https://eu-prod-1.example.com:6443",
            "https://127.0.0.1:40123",
            "https://[::1]:6443",
            "https://[::1]",
            "https://rancher.example.com/k8s/clusters/c-1",
        ] {
            assert_eq!(check_endpoint(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "http://a",
            "https://",
            "https://:6443",
            "https://a:0",
            "https://a:x",
            "https://a:70000",
            "https://u:p@a",
            "https://a?b",
            "https://a b",
            "https://::1",
            "ftp://a",
        ] {
            assert!(check_endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_have_the_shape_of_their_kind() {
        let bus = format!("U{}", "A".repeat(55));
        assert_eq!(check_bus_key(&bus), Ok(()));
        let bad_keys = [
            bus[1..].to_owned(),
            format!("A{}", &bus[1..]),
            bus.replace("AA", "a1"),
        ];
        for bad in &bad_keys {
            assert!(check_bus_key(bad).is_err(), "{bad}");
        }
        assert_eq!(check_ack_key(&BASE64.encode(&[7; 32])), Ok(()));
        assert!(check_ack_key(&BASE64.encode(&[7; 31])).is_err());
        assert!(check_ack_key("not base64").is_err());
    }

    #[test]
    fn a_ca_bundle_is_base64_of_something_of_bounded_size() {
        assert_eq!(
            check_ca_bundle(&BASE64.encode(b"-----BEGIN CERTIFICATE-----")),
            Ok(())
        );
        for bad in [
            "",
            "LS0t...",
            &BASE64.encode(&vec![0; CA_BUNDLE_MAX_BYTES + 1]),
        ] {
            assert!(check_ca_bundle(bad).is_err());
        }
    }
}
