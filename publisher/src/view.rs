//! What this publisher has seen of the log: one value, replaced as a whole at every root.
//!
//! The follower alone writes it. Everybody else reads a consistent state, or waits for a newer one.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use writ_core::{
    access::{AccessRule, Proposal, StageRules},
    edit::Kind,
    edit::{Intent, SeenRoot, State},
    envelope::KeyId,
    hash::Hash,
    model::{Cluster, ClusterPolicy, Document, Record},
    name::{ClusterName, Name, PolicyName},
    revision::{Generation, Revision},
};

/// Roots that are remembered: what passes while the outcome of a batch is not known. The log keeps 64
/// of them, and publishers together make some hundred a second; an outcome is known after seconds.
const RECENT_ROOTS_MAX: usize = 1_024;

/// How long a read waits for the revision that it asks for. The log is a few milliseconds behind at
/// most; more means that this publisher is cut off, and another one should be asked.
pub(crate) const READ_WAIT_MAX: Duration = Duration::from_secs(5);

/// After that long on a log that is broken, nothing is waited for any more.
const BROKEN_DELAY: Duration = Duration::from_millis(100);

/// Why no edit is made on the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// For machines; only ever added to.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

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
    /// What is in force, as documents. Apart by kind: every call looks through the access rules, and a
    /// registry is large.
    documents: BTreeMap<Kind, BTreeMap<Name, Arc<Document>>>,
    recent: VecDeque<Arc<SeenRoot>>,
    /// The last that each key signed, of what was read.
    pub(crate) signed: BTreeMap<KeyId, Revision>,
    /// Why the log can't be believed at the moment; edits are refused then.
    pub(crate) broken: Option<Broken>,
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
        self.documents.get(&kind)?.get(name)
    }

    /// What is in force of a name, and the edit that put it there.
    pub(crate) fn found(&self, kind: Kind, name: &Name) -> Option<(&Document, &Arc<Intent>)> {
        let document = self.document(kind, name)?;
        Some((document.as_ref(), self.intent(kind, name)?))
    }

    pub(crate) fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        match self.document(Kind::Cluster, &Name::from(name))?.as_ref() {
            Document::Cluster(cluster) => Some(cluster),
            Document::Policy(_) | Document::Record(_) => None,
        }
    }

    pub(crate) fn policy(&self, name: &PolicyName) -> Option<&ClusterPolicy> {
        match self.document(Kind::Policy, &Name::from(name))?.as_ref() {
            Document::Policy(policy) => Some(policy),
            Document::Cluster(_) | Document::Record(_) => None,
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
        let all = self.documents_after(Kind::Cluster, None);
        all.filter_map(|(_, document)| match document.as_ref() {
            Document::Cluster(cluster) => Some(cluster),
            Document::Policy(_) | Document::Record(_) => None,
        })
    }

    /// The policies that are in force.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &ClusterPolicy> {
        let all = self.documents_after(Kind::Policy, None);
        all.filter_map(|(_, document)| match document.as_ref() {
            Document::Policy(policy) => Some(policy),
            Document::Cluster(_) | Document::Record(_) => None,
        })
    }

    fn records(&self, kind: Kind) -> impl Iterator<Item = &Record> {
        let all = self.documents_after(kind, None);
        all.filter_map(|(_, document)| match document.as_ref() {
            Document::Record(record) => Some(record),
            Document::Cluster(_) | Document::Policy(_) => None,
        })
    }

    /// The access rules.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &AccessRule> {
        self.records(Kind::Access)
            .filter_map(|record| match record {
                Record::Rule(rule) => Some(rule),
                _ => None,
            })
    }

    /// The rules of stages.
    pub(crate) fn stage_rules(&self) -> impl Iterator<Item = &StageRules> {
        self.records(Kind::Access)
            .filter_map(|record| match record {
                Record::Stage(rules) => Some(rules),
                _ => None,
            })
    }

    /// The proposals that were neither approved nor rejected.
    pub(crate) fn proposals(&self) -> impl Iterator<Item = &Proposal> {
        self.records(Kind::Proposal)
            .filter_map(|record| match record {
                Record::Proposal(proposal) => Some(proposal),
                _ => None,
            })
    }

    /// The proposal for a policy.
    pub(crate) fn proposal(&self, name: &Name) -> Option<&Proposal> {
        match self.document(Kind::Proposal, name)?.as_ref() {
            Document::Record(Record::Proposal(proposal)) => Some(proposal),
            _ => None,
        }
    }

    /// What is in force of a kind, after a name, sorted.
    pub(crate) fn documents_after(
        &self,
        kind: Kind,
        after: Option<&Name>,
    ) -> impl Iterator<Item = (&Name, &Arc<Document>)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let of_kind = self.documents.get(&kind).into_iter();
        of_kind.flat_map(move |all| all.range::<Name, _>((from, Bound::Unbounded)))
    }

    /// Puts what an edit made of a name in its place.
    pub(crate) fn set_document(&mut self, kind: Kind, name: Name, document: Option<Document>) {
        let of_kind = self.documents.entry(kind).or_default();
        match document {
            Some(document) => of_kind.insert(name, Arc::new(document)),
            None => of_kind.remove(&name),
        };
    }

    /// A key signed something of a revision.
    pub(crate) fn signed(&mut self, key: KeyId, revision: Revision) {
        let last = self.signed.entry(key).or_default();
        *last = revision.max(*last);
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
pub(crate) struct Views {
    views: watch::Receiver<Arc<View>>,
    /// What was heard of the log beside it.
    behind: watch::Receiver<Option<Broken>>,
    /// Whether this publisher's own key counts.
    signer: watch::Receiver<Option<Broken>>,
}

impl Views {
    pub(crate) fn new(
        views: watch::Receiver<Arc<View>>,
        behind: watch::Receiver<Option<Broken>>,
        signer: watch::Receiver<Option<Broken>>,
    ) -> Views {
        Views {
            views,
            behind,
            signer,
        }
    }

    /// Why no edit is made, whatever the log holds.
    fn broken_beside(&self) -> Option<Broken> {
        let behind = self.behind.borrow().clone();
        behind.or_else(|| self.signer.borrow().clone())
    }

    /// Why no edit is made at the moment.
    pub(crate) fn broken(&self) -> Option<Broken> {
        let beside = self.broken_beside();
        beside.or_else(|| self.views.borrow().broken.clone())
    }

    /// The view of now, and that no edit may be made on it, if so.
    pub(crate) fn now(&self) -> Arc<View> {
        let view = self.views.borrow().clone();
        match self.broken_beside() {
            Some(behind) if view.broken.is_none() => {
                let mut view = View::clone(&view);
                view.broken = Some(behind);
                Arc::new(view)
            }
            _ => view,
        }
    }

    /// The view of now, once it is another than this reader has had; `None` when nobody follows the log
    /// any more.
    pub(crate) async fn changed(&mut self) -> Option<Arc<View>> {
        self.views.changed().await.ok()?;
        Some(self.now())
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
        let mut receiver = self.views.clone();
        let found = tokio::select! {
            found = timeout(time, receiver.wait_for(fits)) => match found {
                Ok(Ok(view)) => Some(view.clone()),
                // Out of time, or the follower has ended.
                Ok(Err(_)) | Err(_) => None,
            },
            // It does not get anywhere any more.
            () = self.breaks() => None,
        };
        found.ok_or_else(|| Behind {
            seen: self.now().revision(),
        })
    }

    /// Resolves some time after the log stopped to be one that is gone on with.
    async fn breaks(&self) {
        let (mut views, mut behind) = (self.views.clone(), self.behind.clone());
        let mut signer = self.signer.clone();
        let broken = async {
            tokio::select! {
                _ = signer.wait_for(Option::is_some) => {}
                _ = views.wait_for(|view| view.broken.is_some()) => {}
                _ = behind.wait_for(Option::is_some) => {}
            }
        };
        broken.await;
        // Whoever asks again at once is not to turn in circles.
        tokio::time::sleep(BROKEN_DELAY).await;
    }
}
