//! The body of a NetworkPolicy, checked as the API server does (`ValidateNetworkPolicySpec`), and where
//! newer API servers are stricter (addresses), as those do.

use std::net::IpAddr;

use serde_json::Value;

use super::fields::{Fields, unknown};
use super::label_selector::LabelSelector;
use super::limits::ENTRIES_MAX;
use super::report::{Report, quoted};

const TYPES: [&str; 2] = ["Ingress", "Egress"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Longest name of a port, in bytes (RFC 6335).
const PORT_NAME_MAX_BYTES: usize = 15;

/// Checks `spec`.
pub(super) fn check(object: &Fields<'_>, report: &mut Report) {
    if object.get("spec").is_none() {
        report.refuse(object.path("spec"), "is required");
    }
    let known = ["podSelector", "policyTypes", "ingress", "egress"];
    let Some(spec) = object.open_field("spec", &known, report) else {
        return;
    };
    LabelSelector::read(&spec, "podSelector", report);
    check_types(&spec, report);
    for (key, peers) in [("ingress", "from"), ("egress", "to")] {
        for (path, item) in spec.items(key, ENTRIES_MAX, report) {
            if let Some(rule) = Fields::open(item, path, &["ports", peers], report) {
                check_rule(&rule, peers, report);
            }
        }
    }
}

fn check_types(spec: &Fields<'_>, report: &mut Report) {
    let types = spec.texts("policyTypes", report);
    for (index, (path, of)) in types.iter().enumerate() {
        if !TYPES.contains(of) {
            report.refuse(path.clone(), unknown("policy type", of, &TYPES));
        } else if types[..index].iter().any(|(_, earlier)| earlier == of) {
            report.refuse(path.clone(), format!("{} is listed twice", quoted(of)));
        }
    }
}

fn check_rule(rule: &Fields<'_>, peers: &str, report: &mut Report) {
    for (path, item) in rule.items("ports", ENTRIES_MAX, report) {
        if let Some(port) = Fields::open(item, path, &["protocol", "port", "endPort"], report) {
            check_port(&port, report);
        }
    }
    for (path, item) in rule.items(peers, ENTRIES_MAX, report) {
        let known = ["podSelector", "namespaceSelector", "ipBlock"];
        if let Some(peer) = Fields::open(item, path, &known, report) {
            check_peer(&peer, report);
        }
    }
}

fn check_port(fields: &Fields<'_>, report: &mut Report) {
    if let Some(protocol) = fields.text("protocol", report)
        && !PROTOCOLS.contains(&protocol)
    {
        let message = unknown("protocol", protocol, &PROTOCOLS);
        report.refuse(fields.path("protocol"), message);
    }
    let port = fields.get("port");
    if let Some(Err(message)) = port.map(check_port_value) {
        report.refuse(fields.path("port"), message);
        return;
    }
    let Some(end) = fields.get("endPort") else {
        return;
    };
    let problem = match (port.and_then(port_number), port_number(end)) {
        (_, None) => "must be a port number from 1 to 65535",
        (None, _) => "needs a port that is a number",
        (Some(port), Some(end)) if end < port => "is below port",
        _ => return,
    };
    report.refuse(fields.path("endPort"), problem);
}

fn port_number(value: &Value) -> Option<u16> {
    let number = u16::try_from(value.as_u64()?).ok()?;
    (number != 0).then_some(number)
}

fn check_port_value(value: &Value) -> Result<(), String> {
    let is_port = match value.as_str() {
        Some(name) => is_port_name(name),
        None => port_number(value).is_some(),
    };
    if is_port {
        Ok(())
    } else {
        Err(format!(
            "must be a number from 1 to 65535, or the name of a port: at most {PORT_NAME_MAX_BYTES} lower-case letters, digits and single '-', with a letter in it"
        ))
    }
}

fn is_port_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= PORT_NAME_MAX_BYTES
        && name.bytes().all(is_plain)
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn check_peer(peer: &Fields<'_>, report: &mut Report) {
    let has_pods = LabelSelector::read(peer, "podSelector", report).is_some();
    let has_namespaces = LabelSelector::read(peer, "namespaceSelector", report).is_some();
    let is_given = |key: &str| peer.get(key).is_some();
    if !["podSelector", "namespaceSelector", "ipBlock"]
        .into_iter()
        .any(is_given)
    {
        let message = "needs one of podSelector, namespaceSelector, ipBlock";
        report.refuse(peer.path(""), message);
    }
    let Some(block) = peer.open_field("ipBlock", &["cidr", "except"], report) else {
        return;
    };
    if has_pods || has_namespaces {
        let message = "must not stand beside a selector: a peer is one or the other";
        report.refuse(peer.path("ipBlock"), message);
    }
    check_block(&block, report);
}

fn check_block(block: &Fields<'_>, report: &mut Report) {
    let cidr = block.parsed("cidr", Cidr::parse, report);
    for (path, text) in block.texts("except", report) {
        match (Cidr::parse(text), cidr) {
            (Err(message), _) => report.refuse(path, message),
            (Ok(except), Some(cidr)) if !cidr.strictly_holds(except) => {
                report.refuse(path, "must be a part of cidr, and not all of it");
            }
            _ => {}
        }
    }
}

/// A range of addresses, its bits at the left of 128.
#[derive(Debug, Clone, Copy)]
struct Cidr {
    bits: u128,
    prefix: u32,
    is_v4: bool,
}

impl Cidr {
    fn parse(text: &str) -> Result<Cidr, String> {
        let refuse = || {
            format!(
                "{} is no range of addresses, such as 10.0.0.0/8 or fd00::/8",
                quoted(text)
            )
        };
        let (address, prefix) = text.split_once('/').ok_or_else(refuse)?;
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let (bits, length, is_v4) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32, true),
            // Other readers take it for IPv4.
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => return Err(refuse()),
            IpAddr::V6(v6) => (v6.to_bits(), 128, false),
        };
        let is_plain = prefix == "0" || !prefix.starts_with(['0', '+']);
        let prefix: u32 = prefix.parse().map_err(|_| refuse())?;
        if !is_plain || prefix > length {
            return Err(refuse());
        }
        if bits & !mask(prefix) != 0 {
            return Err(format!(
                "{} has bits set beyond its prefix, write the first address of the range",
                quoted(text)
            ));
        }
        Ok(Cidr {
            bits,
            prefix,
            is_v4,
        })
    }

    fn strictly_holds(self, other: Cidr) -> bool {
        self.is_v4 == other.is_v4
            && self.prefix < other.prefix
            && other.bits & mask(self.prefix) == self.bits
    }
}

/// The leftmost bits.
fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}
