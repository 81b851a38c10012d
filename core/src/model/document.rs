//! The documents of `writ.dev/v1alpha1`: which kind a document is, and the frame that all share.

use serde_json::Value;

use super::cluster::Cluster;
use super::fields::{self, Fields, unknown};
use super::limits::{COMPILED_SIZE_MAX_BYTES, DEPTH_MAX};
use super::policy::ClusterPolicy;
use super::record::{self, Record};
use super::report::{Notice, Report, Violation, quoted};
use super::strip;
use crate::edit::Kind;
use crate::name::Name;

/// The version of the format.
pub const API_VERSION: &str = "writ.dev/v1alpha1";

/// Kind of a registry entry.
pub(super) const CLUSTER: &str = "Cluster";

/// Kind of a policy.
pub(super) const CLUSTER_POLICY: &str = "ClusterPolicy";

/// The frame of every document.
const FRAME: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];

/// A document that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// A registry entry.
    Cluster(Cluster),
    /// A policy.
    Policy(ClusterPolicy),
    /// What governs publishers alone.
    Record(Record),
}

impl Document {
    /// What it is a document of.
    pub fn kind(&self) -> Kind {
        match self {
            Document::Cluster(_) => Kind::Cluster,
            Document::Policy(_) => Kind::Policy,
            Document::Record(record) => record.kind(),
        }
    }

    /// What it is called.
    pub fn name(&self) -> Name {
        match self {
            Document::Cluster(cluster) => Name::from(&cluster.name),
            Document::Policy(policy) => Name::from(&policy.name),
            Document::Record(record) => record.name().clone(),
        }
    }
}

/// What parsing made of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The document.
    pub document: Document,
    /// What was dropped from it.
    pub notices: Vec<Notice>,
}

/// Checks one document. All that is wrong with it is found at once, each with its field.
pub fn parse(value: &Value) -> Result<Parsed, Vec<Violation>> {
    let mut report = Report::default();
    let document = read(value, &mut report);
    // A part that cannot be made has always said why, so a clean report has a document.
    let notices = report.finish()?;
    let document = document.ok_or_else(|| vec![whole("is not a document")])?;
    Ok(Parsed { document, notices })
}

fn read(value: &Value, report: &mut Report) -> Option<Document> {
    check_depth(value, report)?;
    let mut value = value.clone();
    strip::strip(&mut value, "", report);
    let kind = read_kind(&Fields::open_map(&value, "", report)?, report)?;
    let document = Fields::open(&value, "", &FRAME, report)?;
    if kind == CLUSTER {
        let cluster = Cluster::read(&document, report)?;
        let size = cluster.compile().bytes().len();
        if size > COMPILED_SIZE_MAX_BYTES {
            let message = format!("{size} bytes, the limit is {COMPILED_SIZE_MAX_BYTES}");
            report.refuse("", message);
        }
        Some(Document::Cluster(cluster))
    } else if record::KINDS.contains(&kind) {
        Record::read(kind, &document, report).map(Document::Record)
    } else {
        ClusterPolicy::read(&document, report).map(Document::Policy)
    }
}

/// Reads a compiled document of one kind, which has to be clean already.
pub(super) fn read_compiled<T>(
    value: &Value,
    kind: &str,
    read: impl FnOnce(&Fields<'_>, &mut Report) -> Option<T>,
) -> Result<T, Vec<Violation>> {
    let mut report = Report::default();
    let read = read_frame(value, kind, &mut report).and_then(|frame| read(&frame, &mut report));
    report.finish()?;
    read.ok_or_else(|| vec![whole("is not a compiled document")])
}

fn read_frame<'a>(value: &'a Value, kind: &str, report: &mut Report) -> Option<Fields<'a>> {
    check_depth(value, report)?;
    let document = Fields::open(value, "", &FRAME, report)?;
    let found = read_kind(&document, report)?;
    if found != kind {
        report.refuse("kind", format!("must be {kind} here"));
        return None;
    }
    Some(document)
}

fn read_kind<'a>(document: &Fields<'a>, report: &mut Report) -> Option<&'a str> {
    let api_version = document.required_text("apiVersion", report);
    let kind = document.required_text("kind", report)?;
    let api_version = api_version?;
    if api_version != API_VERSION {
        let message = if api_version.starts_with("writ.dev/") {
            format!("must be {API_VERSION}")
        } else {
            format!("must be {API_VERSION}; Kubernetes objects go into a ClusterPolicy's objects")
        };
        report.refuse("apiVersion", message);
        return None;
    }
    let kinds = [&[CLUSTER, CLUSTER_POLICY][..], &record::KINDS].concat();
    if !kinds.contains(&kind) {
        let known = unknown("kind", kind, &kinds);
        let message = match kind {
            "PolicyCeiling" => format!("kind {} is not supported yet", quoted(kind)),
            _ => known,
        };
        report.refuse("kind", message);
        return None;
    }
    Some(kind)
}

fn check_depth(value: &Value, report: &mut Report) -> Option<()> {
    if fields::is_too_deep(value) {
        report.refuse("", format!("nests deeper than {DEPTH_MAX} levels"));
        return None;
    }
    Some(())
}

fn whole(message: &str) -> Violation {
    Violation {
        field: String::new(),
        message: message.to_owned(),
    }
}
