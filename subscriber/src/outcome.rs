//! What became of a policy in this cluster.

use std::fmt;
use std::time::{Duration, SystemTime};

use writ_core::model::ObjectRef;
use writ_core::name::PolicyName;
pub use writ_core::plan::Change;
use writ_core::plan::{Reason, Record};

/// Failing objects that an outcome names; the rest is counted. The limit is that of an ack.
pub const FAILURES_NAMED_MAX: usize = 8;

/// How far a policy got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The API server confirmed every object, and that every object that left is gone.
    Applied,
    /// Something has to pass first; trying again is worth while.
    Pending(Reason),
    /// At least one object is not going to be as wanted until somebody acts.
    Refused(Reason),
}

/// The result of bringing a cluster to one state of one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How far it got.
    pub state: State,
    /// The first [`FAILURES_NAMED_MAX`] objects that are not as wanted, sorted.
    pub failures: Vec<ObjectFailure>,
    /// How many objects are not as wanted.
    pub failures_total: usize,
    /// Writes and deletions that the API server confirmed.
    pub writes: usize,
    /// Objects that left the policy and stay in the cluster.
    pub orphaned: Vec<ObjectRef>,
    /// When the state was recorded in the cluster: "received". `None` if nothing had to be recorded.
    pub recorded_at: Option<SystemTime>,
    /// When the last object was confirmed, or given up.
    pub finished_at: SystemTime,
    /// What the cluster was brought to; `None` if nothing of the policy is or was here.
    pub record: Option<Record>,
    /// The longest wait that the API server asked for.
    pub retry_after: Option<Duration>,
}

/// One object that is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFailure {
    /// Which object.
    pub reference: ObjectRef,
    /// Why, for machines.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

/// An object that somebody else changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Which object.
    pub reference: ObjectRef,
    /// What had happened to it.
    pub change: Change,
    /// The field manager that wrote last besides us, where the API server knows one.
    pub manager: Option<String>,
    /// Whether it is put back; otherwise the policy only reports it, or others fight over it.
    pub put_back: bool,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manager = self.manager.as_deref().unwrap_or("somebody");
        let what = match self.put_back {
            true => "put back",
            false => "left as it is",
        };
        write!(f, "{} by {manager}, {what}", self.change)
    }
}

/// The result of checking a policy's objects and putting them back.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// Whose objects.
    pub policy: PolicyName,
    /// How far it got.
    pub outcome: Outcome,
    /// What had been changed; empty when all was as it should be.
    pub drift: Vec<Drift>,
}

impl Outcome {
    /// There was nothing to do.
    pub(crate) fn unchanged() -> Outcome {
        Outcome {
            state: State::Applied,
            failures: Vec::new(),
            failures_total: 0,
            writes: 0,
            orphaned: Vec::new(),
            recorded_at: None,
            finished_at: SystemTime::now(),
            record: None,
            retry_after: None,
        }
    }

    /// Nothing was done, for one reason.
    pub(crate) fn stopped(failure: ObjectFailure) -> Outcome {
        Outcome::unchanged().with_failures(vec![failure])
    }

    /// The state that follows from the failures: what needs a person outweighs what passes.
    #[must_use]
    pub(crate) fn with_failures(mut self, mut failures: Vec<ObjectFailure>) -> Outcome {
        failures.sort_by(|a, b| (&a.reference, a.reason).cmp(&(&b.reference, b.reason)));
        let lasting = failures
            .iter()
            .find(|failure| !failure.reason.is_transient());
        self.state = match (lasting, failures.first()) {
            (Some(failure), _) => State::Refused(failure.reason),
            (None, Some(failure)) => State::Pending(failure.reason),
            (None, None) => State::Applied,
        };
        self.failures_total = failures.len();
        failures.truncate(FAILURES_NAMED_MAX);
        self.failures = failures;
        self
    }

    /// The outcome with the record that it left.
    #[must_use]
    pub(crate) fn with_record(self, record: Option<&Record>) -> Outcome {
        Outcome {
            record: record.cloned(),
            ..self
        }
    }

    /// Whether every object is confirmed.
    pub fn is_applied(&self) -> bool {
        self.state == State::Applied
    }
}

impl State {
    /// `Applied`, `Pending` or `Refused`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Applied => "Applied",
            State::Pending(_) => "Pending",
            State::Refused(_) => "Refused",
        }
    }

    /// Why it is not applied.
    pub fn reason(self) -> Option<Reason> {
        match self {
            State::Applied => None,
            State::Pending(reason) | State::Refused(reason) => Some(reason),
        }
    }
}
