//! Edits as the tracker takes them: read from the intents of the log.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    edit::{Intent, Kind},
    model::{self, Cluster, ClusterSelector, Document},
    name::{ClusterName, Name},
    revision::{Generation, Revision},
    scope::Scope,
};

/// What an edit made of its name.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A registry entry, or nothing where it was removed.
    Cluster(Option<Box<Cluster>>),
    /// The clusters that a policy selects, or nothing where it was deleted.
    Policy(Option<Box<ClusterSelector>>),
}

/// One committed edit.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its name.
    pub name: Name,
    /// The edit.
    pub revision: Revision,
    /// The edit, counted per name.
    pub generation: Generation,
    /// When, by the clock of the publisher that took it, milliseconds since the Unix epoch.
    pub committed_ms: u64,
    /// The clusters that it is for, fixed when it was committed.
    pub targets: BTreeSet<ClusterName>,
    /// The scopes that the name is in since.
    pub scopes: BTreeSet<Scope>,
    /// The scopes that it was in before and is not in since, each with the edit that took it out. An intent
    /// does not say that: the tracker fills it in from the edits before.
    pub left: BTreeMap<Scope, Revision>,
    /// What it became.
    pub subject: Subject,
}

/// Why an intent of the log can't be read. It was verified, so another build wrote it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The manifest is not JSON.
    #[error("the manifest of {kind} {name} is not JSON")]
    Json {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Why.
        source: serde_json::Error,
    },
    /// The manifest is refused by this build.
    #[error("the manifest of {kind} {name} is refused: {first}")]
    Manifest {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// The first violation.
        first: String,
    },
    /// The manifest is of another kind than its subject.
    #[error("the manifest of {kind} {name} is of another kind or name")]
    Mismatch {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
    },
}

impl Committed {
    /// Reads an intent; nothing for a record, which no cluster answers to.
    ///
    /// # Errors
    /// [`ReadError`] where its manifest is not one that this build accepts.
    pub fn read(intent: &Intent) -> Result<Option<Committed>, ReadError> {
        let subject = match (intent.kind, read_manifest(intent)?) {
            (Kind::Cluster, None) => Subject::Cluster(None),
            (Kind::Policy, None) => Subject::Policy(None),
            (_, Some(Document::Cluster(cluster))) => Subject::Cluster(Some(Box::new(cluster))),
            (_, Some(Document::Policy(policy))) => Subject::Policy(Some(Box::new(policy.clusters))),
            (_, None | Some(Document::Record(_))) => return Ok(None),
        };
        let targets = intent
            .targets
            .iter()
            .filter_map(|name| ClusterName::parse(name).ok());
        Ok(Some(Committed {
            name: intent.name.clone(),
            revision: intent.revision,
            generation: intent.generation,
            committed_ms: intent.committed_ms,
            targets: targets.collect(),
            scopes: intent.scopes.clone(),
            left: BTreeMap::new(),
            subject,
        }))
    }

    /// Takes over from the edit before it which scopes the name has left.
    pub(super) fn follow(&mut self, before: &Committed) {
        self.left = before.left.clone();
        let scopes = before.scopes.iter();
        self.left
            .extend(scopes.map(|scope| (scope.clone(), self.revision)));
        self.left.retain(|scope, _| !self.scopes.contains(scope));
    }
}

/// The document of an intent; nothing where the name was deleted.
///
/// # Errors
/// [`ReadError`] where the manifest is not one that this build accepts.
pub fn read_manifest(intent: &Intent) -> Result<Option<Document>, ReadError> {
    let Some(manifest) = &intent.manifest else {
        return Ok(None);
    };
    let (kind, name) = (intent.kind, intent.name.clone());
    let value = serde_json::from_str(manifest).map_err(|source| ReadError::Json {
        kind,
        name: name.clone(),
        source,
    })?;
    let document = model::parse(&value).map_err(|violations| ReadError::Manifest {
        kind,
        name: name.clone(),
        first: violations
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
    })?;
    let document = document.document;
    if (document.kind(), document.name()) == (kind, name.clone()) {
        Ok(Some(document))
    } else {
        Err(ReadError::Mismatch { kind, name })
    }
}
