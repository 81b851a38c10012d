//! What became of work: given to the follower, which decides by it, and to the reporter, which tells it.
//!
//! The one place where both are told, for the loop of a subscriber and for a simulated one. Never waits.

use writ_core::{
    ack::{Failure, State},
    follower::{Follower, Key, Past, Standing},
    model::Mode,
    name::Name,
    scope::Kind,
};

use crate::{
    cluster::ClusterApi,
    engine::{Engine, Latest},
    outbox::{KeptNow, Outgoing},
    outcome::Repair,
    report::{Reporter, Told},
    state::State as Kept,
    work::{Done, Works, past_of, standing_of},
};

/// Whom news concerns.
pub(crate) struct News<'a, C> {
    pub(crate) follower: &'a mut Follower,
    pub(crate) reporter: &'a mut Reporter,
    pub(crate) works: &'a mut Works<C>,
    pub(crate) engine: &'a Engine<C>,
}

impl<C: ClusterApi + Send + Sync + 'static> News<'_, C> {
    /// What was decided has been carried out, or has failed.
    pub(crate) fn done(self, done: Done) {
        self.follower.on_ended(&done.key);
        let Some(past) = done.past else {
            return self.follower.on_forgotten(&done.key);
        };
        // A word that came while this was under way tells of itself when it is done. Where nothing
        // was left to do, only what was told before and was not good then is told again.
        let received_ms = match done.told {
            true => self.received_ms(&done.key),
            false => 0,
        };
        let told = told(&done.key, &past, &done.standing, received_ms);
        self.reporter.tell_again(Told {
            applied_ms: done.applied_ms,
            ..told
        });
        self.follower.on_brought(&done.key, past, done.standing);
    }

    /// What others did was looked at, and put back where it was to be.
    pub(crate) fn repaired(self, repair: &Repair, now_ms: u64) {
        let key: Key = (Kind::Policy, Name::from(&repair.policy));
        let mut standing = standing_of(&repair.outcome);
        let Some(record) = &repair.outcome.record else {
            return;
        };
        let mut past = past_of(record);
        let is_newest = match self.engine.record_now(&repair.policy) {
            Latest::None => return,
            // An attempt that ended after this one tells of itself: what is said here is not said of
            // what that one went to.
            Latest::Record(now) => past_of(&now) == past,
            // What it comes to is not known yet. Not done, so that it is asked for: a question that
            // the engine answers by looking at its record, and nothing here waits for the attempt.
            Latest::Busy => {
                past.done = false;
                true
            }
        };
        let applied = standing.state == State::Applied;
        let applied_ms = if applied { now_ms } else { 0 };
        if is_newest {
            if past.done {
                self.works.settled(&key);
            }
            self.follower
                .on_brought(&key, past.clone(), standing.clone());
        }
        // What waited and goes on now is the edit's own news, also where nobody drifted.
        if is_newest && past.done == applied {
            let told = told(&key, &past, &standing, self.received_ms(&key));
            self.reporter.tell_again(Told { applied_ms, ..told });
        }
        if repair.drift.is_empty() {
            return;
        }
        // What is left as it is stands among the failures already.
        let put_back = repair.drift.iter().filter(|drift| drift.put_back);
        let drifted = put_back.map(|drift| Failure {
            object: drift.reference.to_string(),
            reason: "Drift".to_owned(),
            message: drift.to_string(),
        });
        standing.failures.extend(drifted);
        for failure in &standing.failures {
            tracing::info!(policy = %key.1, object = failure.object, "{}", failure.message);
        }
        self.reporter.tell(Told {
            drift: true,
            applied_ms,
            ..told(&key, &past, &standing, now_ms)
        });
    }

    /// When the newest word of a name came in this run; 0 where it is older.
    fn received_ms(&self, key: &Key) -> u64 {
        self.follower.word(key).map_or(0, |word| word.received_ms)
    }
}

fn told<'a>(key: &'a Key, past: &Past, standing: &'a Standing, received_ms: u64) -> Told<'a> {
    Told {
        key,
        generation: past.generation,
        revision: past.word,
        removed: past.removed,
        drift: false,
        standing,
        received_ms,
        applied_ms: 0,
    }
}

/// Whether it may be said that this cluster only observes: once its own entry that says so is kept there.
/// A process that is killed before begins as enforcer again, and nobody was told otherwise.
pub(crate) fn observes(follower: &Follower, kept: &KeptNow) -> bool {
    let own = follower.own_signed().map(|signed| &**signed);
    follower.mode() == Some(Mode::Observe) && own.is_some() && own == kept.own.as_deref()
}

/// The next ack with the state to keep beside it, if there is anything new to say.
pub(crate) fn next_ack(
    follower: &Follower,
    reporter: &mut Reporter,
    kept: &mut Kept,
    refused: u64,
    now_ms: u64,
) -> Option<Outgoing> {
    let ack = reporter.ack(follower.summary(), refused, now_ms)?;
    kept.ack = Some(ack.bytes.clone());
    kept.seen = follower.seen().clone();
    kept.before = follower.before();
    if let Some(signed) = follower.own_signed() {
        kept.own = Some(signed.to_vec());
    }
    let state = kept.clone();
    Some(Outgoing {
        state,
        ack: Some(ack),
        spans: Vec::new(),
    })
}
