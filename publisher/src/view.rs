//! What this publisher has seen of the log: one value, replaced as a whole at every root.
//!
//! The follower alone writes it. Everybody else reads a consistent state, or waits for a newer one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use writ_core::{
    edit::{Intent, SeenRoot, State},
    hash::Hash,
    model::{Cluster, ClusterPolicy, Document},
    name::{ClusterName, Name, PolicyName},
    revision::{Generation, Revision},
    scope::Kind,
};

/// Roots that are remembered: what passes while the outcome of a batch is not known. The log keeps 64
/// of them, and publishers together make some hundred a second; an outcome is known after seconds.
const RECENT_ROOTS_MAX: usize = 1_024;

/// How long a read waits for the revision that it asks for. The log is a few milliseconds behind at
/// most; more means that this publisher is cut off, and another one should be asked.
pub(crate) const READ_WAIT_MAX: Duration = Duration::from_secs(5);

/// The log up to one root.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// What the rules need.
    pub(crate) state: State,
    /// Place of the newest root in the stream, believed or not: what the next edit compares with.
    pub(crate) root_sequence: u64,
    /// Hash of the newest root's payload.
    pub(crate) root_hash: Option<Hash>,
    /// When the newest edit was made, milliseconds since the Unix epoch.
    pub(crate) newest_ms: u64,
    /// What is in force, as documents.
    documents: BTreeMap<(Kind, Name), Arc<Document>>,
    recent: VecDeque<Arc<SeenRoot>>,
    /// Why the log can't be believed at the moment; edits are refused then.
    pub(crate) broken: Option<String>,
}

impl View {
    pub(crate) fn revision(&self) -> Revision {
        self.state.revision()
    }

    pub(crate) fn intent(&self, kind: Kind, name: &Name) -> Option<&Arc<Intent>> {
        self.state.intent(kind, name)
    }

    /// The last generation of a name; 0 where it never was.
    pub(crate) fn generation(&self, kind: Kind, name: &Name) -> Generation {
        self.intent(kind, name)
            .map(|intent| intent.generation)
            .unwrap_or_default()
    }

    pub(crate) fn document(&self, kind: Kind, name: &Name) -> Option<&Arc<Document>> {
        self.documents.get(&(kind, name.clone()))
    }

    pub(crate) fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        match self
            .documents
            .get(&(Kind::Cluster, Name::from(name)))?
            .as_ref()
        {
            Document::Cluster(cluster) => Some(cluster),
            Document::Policy(_) => None,
        }
    }

    pub(crate) fn policy(&self, name: &PolicyName) -> Option<&ClusterPolicy> {
        match self
            .documents
            .get(&(Kind::Policy, Name::from(name)))?
            .as_ref()
        {
            Document::Policy(policy) => Some(policy),
            Document::Cluster(_) => None,
        }
    }

    /// Every name of a kind that ever was, after a name, sorted.
    pub(crate) fn names_after(
        &self,
        kind: Kind,
        after: Option<&Name>,
    ) -> impl Iterator<Item = &Name> {
        let after = after.cloned();
        self.state
            .intents(kind)
            .map(|intent| &intent.name)
            .filter(move |name| after.as_ref().is_none_or(|after| *name > after))
    }

    /// The registry.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        self.documents
            .values()
            .filter_map(|document| match document.as_ref() {
                Document::Cluster(cluster) => Some(cluster),
                Document::Policy(_) => None,
            })
    }

    /// What is in force of a kind, after a name, sorted.
    pub(crate) fn documents_after(
        &self,
        kind: Kind,
        after: Option<&Name>,
    ) -> impl Iterator<Item = (&Name, &Arc<Document>)> {
        let after = after.cloned();
        self.documents
            .iter()
            .filter(move |((of, name), _)| *of == kind && after.as_ref().is_none_or(|a| name > a))
            .map(|((_, name), document)| (name, document))
    }

    /// Puts what an edit made of a name in its place.
    pub(crate) fn set_document(&mut self, kind: Kind, name: Name, document: Option<Document>) {
        match document {
            Some(document) => self.documents.insert((kind, name), Arc::new(document)),
            None => self.documents.remove(&(kind, name)),
        };
    }

    /// Remembers a root.
    pub(crate) fn remember(&mut self, root: SeenRoot) {
        self.recent.push_back(Arc::new(root));
        let surplus = self.recent.len().saturating_sub(RECENT_ROOTS_MAX);
        self.recent.drain(..surplus);
    }

    /// The last roots that were seen.
    pub(crate) fn recent_roots(&self) -> impl Iterator<Item = &SeenRoot> {
        self.recent.iter().map(AsRef::as_ref)
    }
}

/// The view has not got to where a reader wants it, in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this publisher has seen the log up to revision {seen} only; ask again, or another one")]
pub(crate) struct Behind {
    pub(crate) seen: Revision,
}

/// Read side of the view.
#[derive(Debug, Clone)]
pub(crate) struct Views(watch::Receiver<Arc<View>>);

impl Views {
    pub(crate) fn new(receiver: watch::Receiver<Arc<View>>) -> Views {
        Views(receiver)
    }

    /// The view of now.
    pub(crate) fn now(&self) -> Arc<View> {
        self.0.borrow().clone()
    }

    /// The first view that fits, now or within [`READ_WAIT_MAX`].
    pub(crate) async fn wait_for(
        &self,
        fits: impl FnMut(&Arc<View>) -> bool,
    ) -> Result<Arc<View>, Behind> {
        self.wait_within(READ_WAIT_MAX, fits).await
    }

    pub(crate) async fn wait_within(
        &self,
        time: Duration,
        fits: impl FnMut(&Arc<View>) -> bool,
    ) -> Result<Arc<View>, Behind> {
        let mut receiver = self.0.clone();
        match timeout(time, receiver.wait_for(fits)).await {
            Ok(Ok(view)) => Ok(view.clone()),
            // Out of time, or the follower has ended.
            Ok(Err(_)) | Err(_) => Err(Behind {
                seen: self.now().revision(),
            }),
        }
    }
}
