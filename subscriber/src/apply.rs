//! Carries out a plan: waves in order, the steps of a wave side by side.
//!
//! A failed step does not stop the others: a role that is refused must not keep a revocation from
//! happening. Only a binding of a role that could not be made waits (`unmade`). Every effect is what the
//! API server itself confirmed.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use writ_core::hash::Hash;
use writ_core::model::ObjectRef;
use writ_core::name::PolicyName;
use writ_core::plan::{
    self, Action, ObservedObject, Plan, Step, content_hash, temporary_reference,
};

use crate::cluster::{ClusterApi, Deletion, Error, ErrorKind, Expect, Identity, Written};
use crate::observe::CALLS_AT_ONCE_MAX;
use crate::outcome::ObjectFailure;
use crate::permit::Permits;
use crate::unmade::Unmade;

/// How long a temporary binding stands before the old one goes: the authorisers of all API servers
/// have to know it. Measured: the second API server on one etcd lags by up to 19 ms.
pub const REPLACE_HOLD_MS: u64 = 200;
/// How often a deletion is tried while others keep writing the object.
pub const DELETE_ATTEMPTS_MAX: usize = 4;

/// What is known of an object after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is there with the content that was sent.
    Present {
        uid: String,
        resource_version: String,
        content: Hash,
        sent: Value,
    },
    /// The object of that uid is no more: deleted, or another has its name.
    Absent { uid: String },
    /// It was left behind, without our labels.
    Released,
}

/// The result of one step: effects that were confirmed, and what failed. A replaced binding has
/// effects on two objects.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) effects: Vec<(ObjectRef, Effect)>,
    pub(crate) failures: Vec<(ObjectRef, Error)>,
}

impl Report {
    fn absorb(&mut self, other: Report) {
        self.effects.extend(other.effects);
        self.failures.extend(other.failures);
    }

    fn note(&mut self, reference: &ObjectRef, result: Result<Effect, Error>) -> bool {
        match result {
            Ok(effect) => self.effects.push((reference.clone(), effect)),
            Err(error) => {
                self.failures.push((reference.clone(), error));
                return false;
            }
        }
        true
    }
}

/// Carries out all steps, as long as anything may be written: a step that has begun is ended, and
/// none begins after the ceiling was found not to be in force.
pub(crate) async fn execute<C: ClusterApi>(
    api: &C,
    permits: &Permits,
    policy: &PolicyName,
    plan: &Plan,
) -> Report {
    let mut report = Report::default();
    for wave in &plan.waves {
        let unmade = Unmade::so_far(plan, &report.failures);
        // Made before they are streamed: a closure over borrowed steps inside the stream would keep the
        // whole future from being sent between threads (rust-lang/rust#102211).
        let mut steps = Vec::new();
        for step in &wave.steps {
            let (step, held) = unmade.hold_back(step);
            report.failures.extend(held);
            steps.extend(step.map(|step| begin(api, permits, policy, step)));
        }
        let mut steps = futures::stream::iter(steps).buffer_unordered(CALLS_AT_ONCE_MAX);
        while let Some(done) = steps.next().await {
            report.absorb(done);
        }
    }
    report
}

async fn begin<C: ClusterApi>(
    api: &C,
    permits: &Permits,
    policy: &PolicyName,
    step: Step,
) -> Report {
    if permits.get().is_enforcing() {
        return carry_out(api, policy, step).await;
    }
    let (kind, message) = (ErrorKind::Unavailable, "nothing may be written any more");
    let error = Error::new(kind, "write", &step.reference, message);
    Report {
        failures: vec![(step.reference, error)],
        ..Report::default()
    }
}

async fn carry_out<C: ClusterApi>(api: &C, policy: &PolicyName, step: Step) -> Report {
    let reference = &step.reference;
    let mut report = Report::default();
    let result = match &step.action {
        Action::Create { content } => write(api, reference, content, Expect::New).await,
        Action::Update { uid, content } => {
            write(api, reference, content, Expect::Existing(uid)).await
        }
        Action::Delete {
            uid,
            resource_version,
            remarked,
        } => {
            let found = Identity {
                uid,
                resource_version,
            };
            take_away(api, policy, reference, found, remarked.as_ref()).await
        }
        Action::Release {
            uid,
            resource_version,
        } => release(api, reference, uid, resource_version).await,
        Action::Replace {
            uid,
            resource_version,
            content,
            narrowed,
        } => {
            let old = Identity {
                uid,
                resource_version,
            };
            return replace(api, policy, reference, old, content, narrowed.as_ref()).await;
        }
    };
    report.note(reference, result);
    report
}

async fn write<C: ClusterApi>(
    api: &C,
    reference: &ObjectRef,
    content: &Value,
    expect: Expect<'_>,
) -> Result<Effect, Error> {
    let Written {
        uid,
        resource_version,
        content: answer,
        ..
    } = api.apply(reference, content, expect).await?;
    // An apply to a terminating Namespace is answered with 200 and is worth nothing.
    if ObservedObject::read(answer).is_some_and(|object| object.terminating) {
        let namespace = reference.kind == "Namespace";
        let kind = if namespace {
            ErrorKind::NamespaceTerminating
        } else {
            ErrorKind::Finalizing
        };
        return Err(Error::new(kind, "apply", reference, "it is being deleted"));
    }
    let (hash, sent) = (content_hash(content), content.clone());
    Ok(Effect::Present {
        uid,
        resource_version,
        content: hash,
        sent,
    })
}

/// Deletes an object that left its policy, with our marks put back on it first where they are gone.
async fn take_away<C: ClusterApi>(
    api: &C,
    policy: &PolicyName,
    reference: &ObjectRef,
    found: Identity<'_>,
    remarked: Option<&Value>,
) -> Result<Effect, Error> {
    let uid = found.uid;
    let version = match remarked {
        None => found.resource_version.to_owned(),
        Some(content) => match remark(api, policy, reference, found, content).await? {
            Some(version) => version,
            None => return Ok(absent(uid)),
        },
    };
    let effect = delete(api, reference, uid, &version).await?;
    // A Namespace is answered as deleted while what is in it still goes away.
    if reference.kind == "Namespace" && api.get(reference).await?.is_some() {
        let (kind, message) = (ErrorKind::NamespaceTerminating, "it is being deleted");
        return Err(Error::new(kind, "delete", reference, message));
    }
    Ok(effect)
}

/// Puts our marks back on an object and changes nothing else of it: the rest of what is sent was read, and
/// would put back what others changed since. Answers its state then; nothing where it is gone.
async fn remark<C: ClusterApi>(
    api: &C,
    policy: &PolicyName,
    reference: &ObjectRef,
    found: Identity<'_>,
    remarked: &Value,
) -> Result<Option<String>, Error> {
    let (mut version, mut content) = (found.resource_version.to_owned(), remarked.clone());
    for attempt in 1.. {
        let state = Identity {
            uid: found.uid,
            resource_version: &version,
        };
        match api.apply(reference, &content, Expect::State(state)).await {
            Ok(written) => return Ok(Some(written.resource_version)),
            Err(error) if error.kind == ErrorKind::Conflict && attempt < DELETE_ATTEMPTS_MAX => {
                let Some(now) = reread(api, reference, found.uid).await? else {
                    break;
                };
                content = plan::remarked(policy, &now.content);
                version = now.resource_version;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Deletes an object of ours, in whichever state it is by now, but never another of its name.
async fn delete<C: ClusterApi>(
    api: &C,
    reference: &ObjectRef,
    uid: &str,
    resource_version: &str,
) -> Result<Effect, Error> {
    let mut version = resource_version.to_owned();
    for attempt in 1.. {
        let identity = Identity {
            uid,
            resource_version: &version,
        };
        match api.delete(reference, identity).await {
            Ok(Deletion::Gone) => break,
            Ok(Deletion::Finalizing) => {
                let message = "a finalizer holds it";
                return Err(Error::new(
                    ErrorKind::Finalizing,
                    "delete",
                    reference,
                    message,
                ));
            }
            Err(error) if error.kind == ErrorKind::Conflict && attempt < DELETE_ATTEMPTS_MAX => {
                let Some(now) = reread(api, reference, uid).await? else {
                    break;
                };
                version = now.resource_version;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(absent(uid))
}

/// That very object as it is by now; nothing where it is gone, or where another has its name.
async fn reread<C: ClusterApi>(
    api: &C,
    reference: &ObjectRef,
    uid: &str,
) -> Result<Option<ObservedObject>, Error> {
    let found = api.get(reference).await?.and_then(ObservedObject::read);
    Ok(found.filter(|now| now.uid == uid))
}

fn absent(uid: &str) -> Effect {
    let uid = uid.to_owned();
    Effect::Absent { uid }
}

async fn release<C: ClusterApi>(
    api: &C,
    reference: &ObjectRef,
    uid: &str,
    resource_version: &str,
) -> Result<Effect, Error> {
    let released = api
        .release(
            reference,
            Identity {
                uid,
                resource_version,
            },
        )
        .await;
    match released {
        Ok(_) => Ok(Effect::Released),
        Err(error) if error.kind == ErrorKind::Missing => Ok(absent(uid)),
        Err(error) => Err(error),
    }
}

/// Gives a binding another role without a moment in which nobody has it: a temporary binding with
/// the new role and the new subjects stands until the final one does. Whoever loses access loses it
/// before that.
async fn replace<C: ClusterApi>(
    api: &C,
    policy: &PolicyName,
    reference: &ObjectRef,
    old: Identity<'_>,
    content: &Value,
    narrowed: Option<&Value>,
) -> Report {
    let mut report = Report::default();
    let mut version = old.resource_version.to_owned();
    if let Some(narrowed) = narrowed {
        match api
            .apply(reference, narrowed, Expect::Existing(old.uid))
            .await
        {
            Ok(written) => version = written.resource_version,
            Err(error) => {
                report.failures.push((reference.clone(), error));
                return report;
            }
        }
    }
    let temporary = temporary_reference(reference);
    let stands = stand_in(api, policy, &temporary, content).await;
    if !report.note(&temporary, stands) {
        return report;
    }
    tokio::time::sleep(Duration::from_millis(REPLACE_HOLD_MS)).await;
    let deleted = delete(api, reference, old.uid, &version).await;
    if !report.note(reference, deleted) {
        return report;
    }
    if !report.note(reference, write(api, reference, content, Expect::New).await) {
        return report;
    }
    let Some((
        _,
        Effect::Present {
            uid,
            resource_version,
            ..
        },
    )) = report.effects.first().cloned()
    else {
        return report;
    };
    report.note(
        &temporary,
        delete(api, &temporary, &uid, &resource_version).await,
    );
    report
}

/// Makes the temporary binding; one that a crash left behind is taken away first.
async fn stand_in<C: ClusterApi>(
    api: &C,
    policy: &PolicyName,
    temporary: &ObjectRef,
    content: &Value,
) -> Result<Effect, Error> {
    if let Some(left) = api.get(temporary).await?.and_then(ObservedObject::read) {
        if left.policy() != Some(policy.as_str()) {
            let message = "another object has the name of the temporary binding";
            return Err(Error::new(ErrorKind::Foreign, "create", temporary, message));
        }
        delete(api, temporary, &left.uid, &left.resource_version).await?;
    }
    let mut content = content.clone();
    content["metadata"]["name"] = temporary.name.as_str().into();
    write(api, temporary, &content, Expect::New).await
}

/// A failed call as an outcome shows it.
pub(crate) fn failure(reference: ObjectRef, error: &Error) -> ObjectFailure {
    ObjectFailure {
        reference,
        reason: error.kind.reason(),
        message: error.message.clone(),
    }
}
