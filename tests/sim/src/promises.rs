//! The promises, each with its counter, and the guards that are taken out to see that they matter.

use std::fmt;

use writ_core::guard::Guard;

/// A promise of the design; its number is the one of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// What was answered as committed is in the log, once.
    NoEditIsLost = 1,
    /// Nothing is acted upon that was not committed.
    DurableBeforeVisible,
    /// The log goes from root to root.
    Atomic,
    /// Nothing older than what was seen is acted upon.
    NeverBackwards,
    /// Nothing counts without a trusted signature.
    Authentic,
    /// Nothing outside the own scopes and selection is applied.
    InScope,
    /// When faults heal, every cluster gets to the root and to what it says.
    Convergence,
    /// Nothing is removed that is in force.
    FailStatic,
    /// What is not ours is left as it is.
    NothingForeign,
    /// "Applied" is said only of what is there.
    Truthful,
    /// A refusal keeps the last good state and has a reason.
    Refusal,
    /// Queues, payloads and lists keep their limits.
    Bounded,
    /// A killed process leaves nothing behind that nobody owns.
    CrashSafe,
}

impl Promise {
    /// All of them, in order.
    pub const ALL: [Promise; 13] = [
        Promise::NoEditIsLost,
        Promise::DurableBeforeVisible,
        Promise::Atomic,
        Promise::NeverBackwards,
        Promise::Authentic,
        Promise::InScope,
        Promise::Convergence,
        Promise::FailStatic,
        Promise::NothingForeign,
        Promise::Truthful,
        Promise::Refusal,
        Promise::Bounded,
        Promise::CrashSafe,
    ];
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Promise::NoEditIsLost => "no edit is lost",
            Promise::DurableBeforeVisible => "durable before visible",
            Promise::Atomic => "an edit is atomic",
            Promise::NeverBackwards => "never backwards",
            Promise::Authentic => "authentic",
            Promise::InScope => "in scope",
            Promise::Convergence => "convergence",
            Promise::FailStatic => "fail static",
            Promise::NothingForeign => "nothing foreign is touched",
            Promise::Truthful => "truthful",
            Promise::Refusal => "a refusal keeps the last good state",
            Promise::Bounded => "bounded",
            Promise::CrashSafe => "crash-safe",
        })
    }
}

/// What is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutation {
    /// Guards inside the product's own code.
    Guards(&'static [Guard]),
    /// 1: the subscriptions stand only after the first read is through.
    ListenFirst,
    /// 7: registering a cluster does not write the empty indexes of its feeds.
    EmptyIndexes,
    /// 9: a publisher edits a log that is below what it has heard of.
    Behind,
    /// The batch is stored whatever the root is.
    CompareAndSet,
    /// A lost answer is taken for "not stored".
    Outcome,
    /// Subscribers hear events that were sent, not those that were stored.
    Republished,
    /// Deletions name neither uid nor resourceVersion.
    DeletePreconditions,
    /// Applies do not name the uid of what they change, nor that there must be nothing.
    ApplyPreconditions,
}

/// All mutations, with what is taken out.
pub const MUTATIONS: [(Mutation, &str); 32] = [
    (Mutation::ListenFirst, "1  subscribe first, read afterwards"),
    (
        Mutation::Guards(&[Guard::Seen]),
        "2  ignore events not above what was seen",
    ),
    (
        Mutation::Guards(&[Guard::NewestWord]),
        "2  of one name the highest revision counts",
    ),
    (
        Mutation::Guards(&[Guard::IndexBelowSeen]),
        "2  an index below what was seen is no answer",
    ),
    (
        Mutation::Guards(&[Guard::OpenBelowSeen]),
        "2  + an index that became that is not held",
    ),
    (
        Mutation::Guards(&[Guard::IndexBelowSeen, Guard::OpenBelowSeen]),
        "2  ++ both of an index below what was seen",
    ),
    (
        Mutation::Guards(&[Guard::LateBody]),
        "3  a body older than its entry is no answer",
    ),
    (
        Mutation::Guards(&[Guard::LateBase]),
        "3  a base that is not the one named is no answer",
    ),
    (
        Mutation::Guards(&[Guard::Digest]),
        "5  + a cut's states have the root's digests",
    ),
    (
        Mutation::Guards(&[Guard::LateBase, Guard::Digest]),
        "3  ++ both of a base that is not the one named",
    ),
    (
        Mutation::Guards(&[Guard::KeptSeen]),
        "4  what was seen survives restarts",
    ),
    (
        Mutation::Guards(&[Guard::KeptCut]),
        "4  + the last cut survives restarts",
    ),
    (
        Mutation::Guards(&[Guard::LateBody, Guard::KeptCut]),
        "3  ++ both of a body older than its entry",
    ),
    (
        Mutation::Guards(&[Guard::KeptSeen, Guard::KeptCut]),
        "4  + neither what was seen nor the cut survives",
    ),
    (
        Mutation::Guards(&[Guard::AsOf]),
        "4  nothing older than the record is acted upon",
    ),
    (
        Mutation::Guards(&[Guard::AsOf, Guard::KeptSeen, Guard::KeptCut]),
        "4  ++ all three of what was reached before",
    ),
    (
        Mutation::Guards(&[Guard::RecordAhead]),
        "4  record ahead of the first write",
    ),
    (
        Mutation::Guards(&[Guard::Cut]),
        "5  absence removes only at a cut",
    ),
    (
        Mutation::Guards(&[Guard::TombstoneScopes]),
        "5  a tombstone's scopes are looked at",
    ),
    (
        Mutation::Guards(&[Guard::RemovalMemory]),
        "5  a removal is remembered until a cut",
    ),
    (
        Mutation::Guards(&[Guard::Labels]),
        "6  labels are judged at a cut",
    ),
    (
        Mutation::EmptyIndexes,
        "7  registering writes the empty indexes",
    ),
    (
        Mutation::Guards(&[Guard::BeatAhead]),
        "8  a beat ahead makes the root be read",
    ),
    (
        Mutation::Behind,
        "9  no edits on a log below what was heard",
    ),
    (
        Mutation::Guards(&[Guard::Bygone]),
        "9  what a younger list lacks does not come back",
    ),
    (Mutation::Guards(&[Guard::Signature]), "-  signature check"),
    (Mutation::CompareAndSet, "-  compare-and-set on the root"),
    (Mutation::Outcome, "-  unknown outcomes are found out"),
    (Mutation::Republished, "-  only what was stored is heard"),
    (Mutation::DeletePreconditions, "-  preconditions on deletes"),
    (Mutation::ApplyPreconditions, "-  preconditions on applies"),
    (
        Mutation::Guards(&[Guard::Ownership]),
        "-  mark and inventory say whose an object is",
    ),
];
