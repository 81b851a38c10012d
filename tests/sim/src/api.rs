//! A modelled API server of one cluster: enough of Kubernetes for what the subscriber relies on.
//!
//! Modelled: uid and resourceVersion with their preconditions, server-side apply that keeps the
//! resourceVersion of what does not change, field managers as far as "did we ever write it", namespaces
//! that are missing or terminating, watches. Every call takes time, in which others may act, the call may
//! fail, its answer may be lost after the write, and the process that made it may be killed.
//! What an API server accepts or refuses is never shown with it; that is for real ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Map, Value, json};
use writ_core::{
    model::ObjectRef,
    plan::{FIELD_MANAGER, MANAGED, MANAGED_BY, POLICY, RELEASED, released_value},
    revision::Revision,
};
use writ_subscriber::{
    cluster::{ClusterApi, Deletion, Error, ErrorKind, Expect, Identity, Written},
    resource::{Found, NAMESPACES, Resource},
};

use super::{
    auditor::{Act, Around},
    documents,
    promises::{Mutation, Promise},
    shared::{Fault, Shared},
};

/// How long a subscriber may act by the labels that a namespace had.
const RELABELLED_FOR_MS: u64 = 6_000;
/// Calls that a subscriber may have open: 8 policies with 16 each, its registry and its state.
const CALLS_MAX: usize = 8 * 16 + 16;

/// What the name of a stand-in ends with.
const STAND_IN: &str = ":replacing";
/// Of so many of a thousand writes of the last cut nothing comes, so that more processes are killed between
/// what they did and the cut that tells of it.
const CUT_NOT_KEPT_PERMILLE: usize = 500;

/// Whose an object is, which no API server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    Writ,
    Person,
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) content: Value,
    pub(super) maker: Maker,
}

impl Object {
    /// Whether a subscriber made it for that policy, and has not left it to others.
    pub(super) fn is_of(&self, at: &ObjectRef, policy: &str) -> bool {
        let is_marked = self.content["metadata"]["labels"][MANAGED] == "true";
        documents::policy_of(at) == Some(policy)
            && self.maker == Maker::Writ
            && (is_marked || at.kind != "Namespace")
            && at.kind != "ClusterPolicy"
    }
}

/// A change, as a watch tells it.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) at: ObjectRef,
    /// Nothing where it is gone or lost our label.
    pub(super) version: Option<String>,
    pub(super) content: Option<Value>,
}

/// What the API server holds.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) objects: BTreeMap<ObjectRef, Object>,
    pub(super) changes: Vec<Change>,
    pub(super) away: bool,
    /// Namespaces whose labels a person changed, and when last.
    pub(super) relabelled: BTreeMap<String, u64>,
    /// Stand-ins that a subscriber made and did not take away yet. A person may have.
    stand_ins: BTreeSet<ObjectRef>,
    writes: u64,
}

/// The API server, as one run of a subscriber reaches it.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) shelf: Arc<Mutex<Shelf>>,
    pub(super) shared: Shared,
    pub(super) cluster: usize,
    /// Which run of the subscriber holds this.
    pub(super) boot: u64,
    dead: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
}

/// What happens after a call took effect.
enum After {
    Answer,
    NoAnswer,
    Death,
}

impl Api {
    pub(super) fn new(cluster: usize, shared: Shared) -> Api {
        let api = Api {
            shelf: Arc::default(),
            shared,
            cluster,
            boot: 0,
            dead: Arc::default(),
            open: Arc::default(),
        };
        for name in ["writ-state", "writ-cut"] {
            let at = ObjectRef {
                api_version: "v1".to_owned(),
                kind: "ConfigMap".to_owned(),
                namespace: Some("writ-system".to_owned()),
                name: name.to_owned(),
            };
            let empty = json!({"apiVersion": "v1", "kind": "ConfigMap"});
            api.put(&at, empty, Maker::Writ);
        }
        api
    }

    /// The same API server for the next run of the subscriber.
    pub(super) fn anew(&self) -> Api {
        self.lock().stand_ins.clear();
        Api {
            dead: Arc::default(),
            open: Arc::default(),
            ..self.clone()
        }
    }

    /// Whether the process that holds this was killed.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Kills the process: no call of it has any effect from now on, and none returns.
    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an object there, whoever does it.
    pub(super) fn put(&self, at: &ObjectRef, mut content: Value, maker: Maker) -> Value {
        let mut shelf = self.lock();
        shelf.writes += 1;
        let version = shelf.writes.to_string();
        let uid = match shelf.objects.get(at) {
            Some(old) => old.content["metadata"]["uid"].clone(),
            None => format!("uid-{version}").into(),
        };
        content["metadata"]["name"] = at.name.as_str().into();
        if let Some(namespace) = &at.namespace {
            content["metadata"]["namespace"] = namespace.as_str().into();
        }
        content["metadata"]["uid"] = uid;
        content["metadata"]["resourceVersion"] = version.clone().into();
        let is_marked = content["metadata"]["labels"][MANAGED] == "true";
        let object = Object {
            content: content.clone(),
            maker,
        };
        shelf.objects.insert(at.clone(), object);
        shelf.changes.push(Change {
            at: at.clone(),
            version: is_marked.then_some(version),
            content: Some(content.clone()),
        });
        content
    }

    /// Takes an object away, whoever does it.
    pub(super) fn remove(&self, at: &ObjectRef) -> Option<Object> {
        let mut shelf = self.lock();
        let gone = shelf.objects.remove(at)?;
        shelf.changes.push(Change {
            at: at.clone(),
            version: None,
            content: None,
        });
        Some(gone)
    }

    pub(super) fn peek(&self, at: &ObjectRef) -> Option<Object> {
        self.lock().objects.get(at).cloned()
    }

    /// The way of a call to the API server: it takes time, and may not arrive.
    async fn pass(
        &self,
        action: &'static str,
        at: &ObjectRef,
        writes: bool,
    ) -> Result<After, Error> {
        let (latency, fault) = {
            let mut shared = self.shared.lock();
            let calls = self.open.fetch_add(1, Ordering::Relaxed) + 1;
            shared
                .auditor
                .check(Promise::Bounded, calls <= CALLS_MAX, || {
                    format!("a subscriber has {calls} calls open")
                });
            *shared
                .costs
                .entry(if writes { "api writes" } else { "api reads" })
                .or_default() += 1;
            let slow = shared.faulty && shared.chance.permille(30);
            let latency = match slow {
                true => shared.chance.between(100, 900),
                false => shared.chance.between(1, 9),
            };
            let fault = match shared.faulty {
                true => shared.chance.below(1_000),
                false => 999,
            };
            (latency, fault)
        };
        tokio::time::sleep(Duration::from_millis(latency)).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
        let fail = |fault: Fault, kind: ErrorKind| {
            self.shared.lock().note(fault);
            Err(Error::new(kind, action, at, format!("{fault:?}")))
        };
        if self.lock().away {
            return fail(Fault::ApiAway, ErrorKind::Unavailable);
        }
        if at.name == "writ-cut"
            && writes
            && self
                .shared
                .strikes(Fault::ApiServerError, CUT_NOT_KEPT_PERMILLE)
        {
            return Err(Error::new(ErrorKind::Server, action, at, "not kept"));
        }
        match fault {
            0..2 => {
                self.shared.lock().note(Fault::SubscriberKilledInCall);
                self.kill();
                std::future::pending().await
            }
            // Many a step back begins with a removal that nobody remembers.
            2..10 if action == "delete" => Ok(After::Death),
            2..4 if writes => Ok(After::Death),
            4..14 if writes => Ok(After::NoAnswer),
            14..20 if writes => fail(Fault::ApiForbidden, ErrorKind::Forbidden),
            20..26 if writes => fail(Fault::ApiConflict, ErrorKind::Conflict),
            26..34 => fail(Fault::ApiServerError, ErrorKind::Server),
            34..42 => fail(Fault::ApiTimeoutBefore, ErrorKind::Unavailable),
            42..48 => {
                self.shared.lock().note(Fault::ApiTooManyRequests);
                let mut error = Error::new(ErrorKind::Unavailable, action, at, "too many requests");
                error.retry_after = Some(Duration::from_millis(500));
                Err(error)
            }
            _ => Ok(After::Answer),
        }
    }

    /// The way back of an answer.
    async fn answer<T>(
        &self,
        after: After,
        action: &'static str,
        at: &ObjectRef,
        answer: T,
    ) -> Result<T, Error> {
        match after {
            After::Answer => Ok(answer),
            After::NoAnswer => {
                self.shared.lock().note(Fault::ApiTimeoutAfter);
                Err(Error::new(ErrorKind::Unavailable, action, at, "no answer"))
            }
            After::Death => {
                self.shared.lock().note(Fault::SubscriberKilledInCall);
                self.kill();
                std::future::pending().await
            }
        }
    }

    /// Whether a grant may have stopped to select a namespace a short while ago.
    fn is_unselected(&self, at: &ObjectRef, now_ms: u64) -> bool {
        let Some(name) = at.namespace.as_deref() else {
            return false;
        };
        let found = self.peek(&NAMESPACES.reference(None, name));
        let selected =
            found.is_some_and(|found| found.content["metadata"]["labels"]["tier"] == "gold");
        let changed = self.lock().relabelled.get(name).copied();
        !selected || changed.is_some_and(|at| now_ms < at + RELABELLED_FOR_MS)
    }

    /// A mirror of the registry was written, or deleted.
    fn audit_mirror(&self, at: &ObjectRef, content: Option<&Value>) {
        if at.api_version != "writ.dev/v1alpha1" {
            return;
        }
        let mut shared = self.shared.lock();
        let now_ms = shared.now_ms;
        shared.auditor.wrote_as(self.cluster, self.boot, at, now_ms);
        if at.kind == "Cluster" {
            let revision = content.map(|content| {
                let text = content.pointer("/status/revision").and_then(Value::as_str);
                text.and_then(|text| text.parse().ok())
                    .unwrap_or(Revision::ZERO)
            });
            shared.tell(|| format!("k{}: mirror {at}: {revision:?}", self.cluster + 1));
            shared.auditor.mirrored(self.cluster, &at.name, revision);
        }
    }

    /// Others are at work while a call is on its way: now and then our object is theirs when it arrives.
    fn meddle(&self, at: &ObjectRef) {
        if documents::policy_of(at).is_none() || at.kind != "ClusterRole" {
            return;
        }
        let is_ours = self
            .peek(at)
            .is_some_and(|object| object.maker == Maker::Writ);
        if is_ours && self.shared.strikes(Fault::ForeignInPlace, 40) {
            self.remove(at);
            self.put(at, foreign(at), Maker::Person);
        }
    }

    fn audit(&self, at: &ObjectRef, act: &Act<'_>, before: Option<&Object>) {
        let twin = ObjectRef {
            name: format!("{}{STAND_IN}", at.name),
            ..at.clone()
        };
        let stands_in = {
            let shelf = self.lock();
            shelf.objects.contains_key(&twin) || shelf.stand_ins.contains(&twin)
        };
        let unselected = self.is_unselected(at, self.shared.lock().now_ms);
        let mut shared = self.shared.lock();
        let now_ms = shared.now_ms;
        shared.auditor.wrote_as(self.cluster, self.boot, at, now_ms);
        let foreign = before.is_some_and(|object| object.maker == Maker::Person);
        let cluster = self.cluster;
        shared.tell(|| match act {
            Act::Wrote(content) => format!(
                "k{}: wrote {at}, edit {:?}",
                cluster + 1,
                documents::edit_of(content)
            ),
            Act::TookAway => format!("k{}: took away {at}", cluster + 1),
        });
        shared.auditor.check(Promise::NothingForeign, !foreign, || {
            format!("cluster {cluster} touched {at}, which a person made")
        });
        let around = Around {
            stands_in,
            unselected,
        };
        shared.auditor.acted(cluster, at, act, around);
    }

    fn namespace_problem(&self, at: &ObjectRef) -> Option<ErrorKind> {
        let namespace = at
            .namespace
            .as_deref()
            .filter(|name| *name != "writ-system")?;
        match self.peek(&NAMESPACES.reference(None, namespace)) {
            None => Some(ErrorKind::NamespaceMissing),
            Some(found) if is_terminating(&found.content) => Some(ErrorKind::NamespaceTerminating),
            Some(_) => None,
        }
    }

    /// Notes what an object was confirmed to be like.
    fn take_stock(&self, at: &ObjectRef, content: &Value) {
        if documents::policy_of(at).is_some() {
            let mut shared = self.shared.lock();
            shared.auditor.is_there(self.cluster, at, content);
        }
    }

    fn written(&self, created: bool, content: Value) -> Written {
        let text = |key: &str| {
            content["metadata"][key]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        Written {
            created,
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            content,
        }
    }
}

/// What a person puts under a name of ours.
pub(super) fn foreign(at: &ObjectRef) -> Value {
    json!({
        "apiVersion": at.api_version, "kind": at.kind, "metadata": {"name": at.name},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["theirs"], "verbs": ["get"]}],
    })
}

fn is_terminating(content: &Value) -> bool {
    !content["metadata"]["deletionTimestamp"].is_null()
}

/// What a server-side apply makes of an object.
fn applied(before: Option<&Value>, sent: &Value) -> Value {
    let mut content = sent.clone();
    let managers = &mut content["metadata"]["managedFields"];
    *managers = json!([{"manager": FIELD_MANAGER, "operation": "Apply"}]);
    let Some(before) = before else { return content };
    for map in ["labels", "annotations"] {
        let mut merged = before["metadata"][map]
            .as_object()
            .cloned()
            .unwrap_or_default();
        merged.extend(
            sent["metadata"][map]
                .as_object()
                .cloned()
                .unwrap_or_default(),
        );
        if !merged.is_empty() {
            content["metadata"][map] = Value::Object(merged);
        }
    }
    for key in ["deletionTimestamp", "uid", "resourceVersion", "namespace"] {
        if let Some(value) = before["metadata"].get(key) {
            content["metadata"][key] = value.clone();
        }
    }
    content
}

impl ClusterApi for Api {
    async fn get(&self, at: &ObjectRef) -> Result<Option<Value>, Error> {
        let after = self.pass("get", at, false).await?;
        let found = self.peek(at).map(|object| object.content);
        if let Some(content) = &found {
            self.take_stock(at, content);
        }
        self.answer(after, "get", at, found).await
    }

    async fn find_kind(&self, _: &ObjectRef) -> Result<Option<Found>, Error> {
        Ok(None)
    }

    async fn list(&self, resource: Resource) -> Result<Vec<Value>, Error> {
        let at = resource.reference(None, "");
        let after = self.pass("list", &at, false).await?;
        let is_of = |at: &ObjectRef| {
            (at.api_version.as_str(), at.kind.as_str()) == (resource.api_version, resource.kind)
        };
        let listed = {
            let shelf = self.lock();
            let listed = shelf.objects.iter().filter(|(at, _)| is_of(at));
            listed.map(|(_, object)| object.content.clone()).collect()
        };
        self.answer(after, "list", &at, listed).await
    }

    async fn apply(
        &self,
        at: &ObjectRef,
        content: &Value,
        expect: Expect<'_>,
    ) -> Result<Written, Error> {
        let after = self.pass("apply", at, true).await?;
        self.meddle(at);
        let before = self.peek(at);
        if before.is_none()
            && let Some(kind) = self.namespace_problem(at)
        {
            return Err(Error::new(kind, "apply", at, "the namespace takes nothing"));
        }
        let is = |key: &str, wanted: &str| {
            let found = before.as_ref();
            found.is_some_and(|found| found.content["metadata"][key] == wanted)
        };
        let refused = match expect {
            _ if self.shared.is_out(Mutation::ApplyPreconditions) => None,
            Expect::New if before.is_some() => Some(ErrorKind::Foreign),
            Expect::Existing(uid) if !is("uid", uid) => Some(ErrorKind::Conflict),
            Expect::State(state)
                if !is("uid", state.uid) || !is("resourceVersion", state.resource_version) =>
            {
                Some(ErrorKind::Conflict)
            }
            _ => None,
        };
        if let Some(kind) = refused {
            return Err(Error::new(kind, "apply", at, "not as expected"));
        }
        let mut next = applied(before.as_ref().map(|found| &found.content), content);
        let same = before.as_ref().is_some_and(|found| next == found.content);
        if same {
            next = before
                .as_ref()
                .map(|found| found.content.clone())
                .unwrap_or_default();
        } else {
            let only_marks = before
                .as_ref()
                .is_some_and(|found| found.content["rules"] == next["rules"]);
            if !only_marks
                || before
                    .as_ref()
                    .is_some_and(|found| found.maker == Maker::Person)
            {
                self.audit(at, &Act::Wrote(content), before.as_ref());
            }
            let maker = before.as_ref().map_or(Maker::Writ, |found| found.maker);
            self.audit_mirror(at, Some(content));
            if at.name.ends_with(STAND_IN) {
                self.lock().stand_ins.insert(at.clone());
            }
            next = self.put(at, next, maker);
        }
        self.take_stock(at, &next);
        let written = self.written(before.is_none(), next);
        self.answer(after, "apply", at, written).await
    }

    async fn delete(&self, at: &ObjectRef, identity: Identity<'_>) -> Result<Deletion, Error> {
        let after = self.pass("delete", at, true).await?;
        self.meddle(at);
        let Some(before) = self.peek(at) else {
            self.lock().stand_ins.remove(at);
            return self.answer(after, "delete", at, Deletion::Gone).await;
        };
        let metadata = &before.content["metadata"];
        let fits = metadata["uid"] == identity.uid
            && metadata["resourceVersion"] == identity.resource_version;
        if !fits && !self.shared.is_out(Mutation::DeletePreconditions) {
            return Err(Error::new(ErrorKind::Conflict, "delete", at, "it changed"));
        }
        self.audit(at, &Act::TookAway, Some(&before));
        self.audit_mirror(at, None);
        self.remove(at);
        self.lock().stand_ins.remove(at);
        self.answer(after, "delete", at, Deletion::Gone).await
    }

    async fn release(&self, at: &ObjectRef, identity: Identity<'_>) -> Result<Written, Error> {
        let after = self.pass("release", at, true).await?;
        let Some(before) = self.peek(at) else {
            return Err(Error::new(
                ErrorKind::Missing,
                "release",
                at,
                "it is not there",
            ));
        };
        let metadata = &before.content["metadata"];
        if metadata["uid"] != identity.uid
            || metadata["resourceVersion"] != identity.resource_version
        {
            return Err(Error::new(ErrorKind::Conflict, "release", at, "it changed"));
        }
        self.audit(at, &Act::TookAway, Some(&before));
        let mut content = before.content.clone();
        if let Some(labels) = content["metadata"]["labels"].as_object_mut() {
            labels.retain(|key, _| ![MANAGED, POLICY, MANAGED_BY].contains(&key.as_str()));
        }
        if !content["metadata"]["annotations"].is_object() {
            content["metadata"]["annotations"] = Value::Object(Map::new());
        }
        content["metadata"]["annotations"][RELEASED] = released_value(identity.uid).into();
        let content = self.put(at, content, before.maker);
        let written = self.written(false, content);
        self.answer(after, "release", at, written).await
    }

    async fn replace(&self, at: &ObjectRef, content: &Value) -> Result<Written, Error> {
        let after = self.pass("replace", at, true).await?;
        let Some(before) = self.peek(at) else {
            return Err(Error::new(
                ErrorKind::Missing,
                "replace",
                at,
                "it is not there",
            ));
        };
        if before.content["metadata"]["resourceVersion"] != content["metadata"]["resourceVersion"] {
            return Err(Error::new(ErrorKind::Conflict, "replace", at, "it changed"));
        }
        // An update that changes nothing is answered with the object as it is, and no watch sees it.
        let content = match *content == before.content {
            true => before.content,
            false => {
                self.audit_mirror(at, Some(content));
                self.put(at, content.clone(), before.maker)
            }
        };
        let written = self.written(false, content);
        self.answer(after, "replace", at, written).await
    }

    async fn dry_run(&self, at: &ObjectRef, content: &Value) -> Result<Value, Error> {
        let after = self.pass("create by dry-run", at, false).await?;
        self.answer(after, "create by dry-run", at, content.clone())
            .await
    }
}
