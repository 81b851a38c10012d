//! A Kubernetes API in memory, for what happens between the subscriber's own parts. What an API server
//! accepts or refuses is never shown with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use writ_core::model::ObjectRef;

use crate::cluster::{ClusterApi, Deletion, Error, ErrorKind, Expect, Identity, Written};
use crate::resource::{Found, Resource};

/// What a dry-run is answered.
pub(crate) type Judge = Arc<dyn Fn(&ObjectRef) -> Result<Value, Error> + Send + Sync>;

/// The API; a cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    objects: BTreeMap<ObjectRef, Value>,
    writes: u64,
    is_away: bool,
    /// Deletions are done and not answered.
    loses_deletions: bool,
    judge: Option<Judge>,
    on_write: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Fake {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap()
    }

    /// A change by hand.
    pub(crate) fn put(&self, at: &ObjectRef, mut content: Value) -> Value {
        let mut shelf = self.shelf();
        shelf.writes += 1;
        let version = shelf.writes.to_string();
        let uid = match shelf.objects.get(at) {
            Some(old) => old["metadata"]["uid"].clone(),
            None => format!("uid-{version}").into(),
        };
        content["metadata"]["name"] = at.name.as_str().into();
        content["metadata"]["uid"] = uid;
        content["metadata"]["resourceVersion"] = version.into();
        shelf.objects.insert(at.clone(), content.clone());
        content
    }

    /// A deletion by hand.
    pub(crate) fn take_away(&self, at: &ObjectRef) {
        self.shelf().objects.remove(at);
    }

    /// What is there.
    pub(crate) fn peek(&self, at: &ObjectRef) -> Option<Value> {
        self.shelf().objects.get(at).cloned()
    }

    /// How many writes there were, by hand and by the subscriber.
    pub(crate) fn writes(&self) -> u64 {
        self.shelf().writes
    }

    /// Answers nothing any more, or again.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.shelf().is_away = is_away;
    }

    /// Deletes and gives no answer, or answers again.
    pub(crate) fn lose_answers_of_deletions(&self, loses: bool) {
        self.shelf().loses_deletions = loses;
    }

    pub(crate) fn judge_by(&self, judge: Judge) {
        self.shelf().judge = Some(judge);
    }

    /// What happens with each write of the subscriber.
    pub(crate) fn on_write(&self, then: Arc<dyn Fn() + Send + Sync>) {
        self.shelf().on_write = Some(then);
    }

    fn answer(&self, action: &'static str, at: &ObjectRef) -> Result<(), Error> {
        match self.shelf().is_away {
            true => Err(Error::new(ErrorKind::Unavailable, action, at, "no answer")),
            false => Ok(()),
        }
    }

    fn write(&self, at: &ObjectRef, content: &Value) -> Written {
        let created = self.peek(at).is_none();
        let content = self.put(at, content.clone());
        let text = |key: &str| content["metadata"][key].as_str().unwrap().to_owned();
        let (uid, resource_version) = (text("uid"), text("resourceVersion"));
        let then = self.shelf().on_write.clone();
        if let Some(then) = then {
            then();
        }
        Written {
            created,
            uid,
            resource_version,
            content,
        }
    }
}

impl ClusterApi for Fake {
    async fn get(&self, at: &ObjectRef) -> Result<Option<Value>, Error> {
        self.answer("get", at)?;
        Ok(self.peek(at))
    }

    async fn find_kind(&self, _: &ObjectRef) -> Result<Option<Found>, Error> {
        Ok(None)
    }

    async fn list(&self, resource: Resource) -> Result<Vec<Value>, Error> {
        self.answer("list", &resource.reference(None, ""))?;
        let is_of = |at: &&ObjectRef| {
            (at.api_version.as_str(), at.kind.as_str()) == (resource.api_version, resource.kind)
        };
        let shelf = self.shelf();
        let listed = shelf.objects.iter().filter(|(at, _)| is_of(at));
        Ok(listed.map(|(_, content)| content.clone()).collect())
    }

    async fn apply(
        &self,
        at: &ObjectRef,
        content: &Value,
        expect: Expect<'_>,
    ) -> Result<Written, Error> {
        self.answer("apply", at)?;
        let metadata = self.peek(at).map(|mut found| found["metadata"].take());
        let is = |key: &str, wanted: &str| {
            let found = metadata.as_ref();
            found.is_some_and(|found| found[key] == wanted)
        };
        let refused = match expect {
            Expect::New if metadata.is_some() => Some(ErrorKind::Foreign),
            Expect::Existing(uid) if !is("uid", uid) => Some(ErrorKind::Conflict),
            Expect::State(state)
                if !is("uid", state.uid) || !is("resourceVersion", state.resource_version) =>
            {
                Some(ErrorKind::Conflict)
            }
            _ => None,
        };
        match refused {
            Some(kind) => Err(Error::new(kind, "apply", at, "not as expected")),
            None => {
                let written = self.write(at, content);
                // Away since: it was written, and nobody answers.
                self.answer("apply", at)?;
                Ok(written)
            }
        }
    }

    async fn delete(&self, at: &ObjectRef, identity: Identity<'_>) -> Result<Deletion, Error> {
        self.answer("delete", at)?;
        let mut shelf = self.shelf();
        let metadata = shelf.objects.get(at).map(|found| found["metadata"].clone());
        let is_as_expected = metadata.is_none_or(|metadata| {
            metadata["uid"] == identity.uid
                && metadata["resourceVersion"] == identity.resource_version
        });
        if !is_as_expected {
            let message = "it changed";
            return Err(Error::new(ErrorKind::Conflict, "delete", at, message));
        }
        shelf.objects.remove(at);
        match shelf.loses_deletions {
            true => Err(Error::new(
                ErrorKind::Unavailable,
                "delete",
                at,
                "no answer",
            )),
            false => Ok(Deletion::Gone),
        }
    }

    async fn release(&self, at: &ObjectRef, _: Identity<'_>) -> Result<Written, Error> {
        self.answer("release", at)?;
        let content = self.peek(at).unwrap_or_default();
        Ok(self.write(at, &content))
    }

    async fn replace(&self, at: &ObjectRef, content: &Value) -> Result<Written, Error> {
        self.answer("replace", at)?;
        Ok(self.write(at, content))
    }

    async fn dry_run(&self, at: &ObjectRef, content: &Value) -> Result<Value, Error> {
        self.answer("create by dry-run", at)?;
        let judge = self.shelf().judge.clone();
        judge.map_or_else(|| Ok(content.clone()), |judge| judge(at))
    }
}
