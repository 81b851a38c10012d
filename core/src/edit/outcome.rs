//! What became of a batch, found out and never guessed. No I/O.
//!
//! A batch whose answer was lost is sent again, under a new batch id, until an answer is definite; the
//! compare-and-set on the root makes that safe. Where the root was no longer the one built on, whoever
//! wrote the next one decides. That is told by the root itself; where it is no longer kept, by an own
//! name that has not moved on, or else by the next message of its intents. A request id alone tells nothing here: a client that turned
//! to another publisher has the same request in another batch.

use super::Kind;
use crate::{
    hash::Hash,
    name::Name,
    revision::{Generation, Revision},
    root::RootEdit,
};

/// What the log answered to one sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Stored.
    Committed,
    /// Not stored: the root is not the one that was built on.
    Conflict,
    /// Not stored, for a reason that stays.
    Refused,
    /// Not stored, for a reason that passes.
    Retry,
    /// Stored or not.
    Unknown,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The batch is in the log.
    Committed,
    /// The batch is not in the log and never will be: build on the newer root.
    Lost,
    /// The same: sending it again changes nothing.
    Refused,
    /// Send the same batch again, under a new batch id.
    Send,
    /// Wait until a newer root than the one built on is seen, and tell it ([`Attempt::seen`]).
    Look,
    /// Ask the log's leader for the next intent of the claim ([`Attempt::asks`]), and tell it
    /// ([`Attempt::answered`]).
    Ask,
    /// All that could tell was evicted. Nobody knows any more.
    Unknown,
}

/// An edit of the batch, by which the batch can be recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is edited.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The generation that it makes.
    pub generation: Generation,
    /// Hash of the intent's payload, which holds this publisher's time and the edit's revision.
    pub hash: Hash,
}

/// A root that was read back from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRoot {
    /// Its revision.
    pub revision: Revision,
    /// Hash of its payload.
    pub hash: Hash,
    /// The edits of its batch.
    pub edits: Vec<RootEdit>,
}

/// One batch on its way into the log.
#[derive(Debug, Clone)]
pub struct Attempt {
    built_on: Revision,
    root: Hash,
    claims: Vec<Claim>,
    /// Whether an earlier sending may have been stored.
    in_doubt: bool,
    /// The claim that is asked for.
    asked: usize,
}

impl Attempt {
    /// A batch that was built on the root of a revision: the hash of its own root, and its edits.
    pub fn new(built_on: Revision, root: Hash, claims: Vec<Claim>) -> Attempt {
        Attempt {
            built_on,
            root,
            claims,
            in_doubt: false,
            asked: 0,
        }
    }

    /// Whether it may be in the log: then nobody may be told that it is not.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Takes the answer to a sending.
    pub fn replied(&mut self, reply: Reply) -> Next {
        match (reply, self.in_doubt) {
            (Reply::Committed, _) => Next::Committed,
            (Reply::Conflict, false) => Next::Lost,
            (Reply::Conflict, true) => Next::Look,
            (Reply::Refused, false) => Next::Refused,
            // That this sending was refused says nothing of an earlier one.
            (Reply::Refused | Reply::Retry, _) => Next::Send,
            (Reply::Unknown, _) => {
                self.in_doubt = true;
                Next::Send
            }
        }
    }

    /// Takes what was read back from the log, in its order: the newest revision, the last roots, in any
    /// order, and the generation that a claim's name has by then.
    pub fn seen<'a>(
        &self,
        revision: Revision,
        roots: impl IntoIterator<Item = &'a SeenRoot>,
        generation: impl Fn(&Claim) -> Generation,
    ) -> Next {
        if revision <= self.built_on {
            return Next::Look;
        }
        let first = self.built_on.next();
        for root in roots {
            if root.hash == self.root {
                return Next::Committed;
            }
            // The root after the one built on: the compare-and-set let nobody else in.
            if root
                .edits
                .first()
                .is_some_and(|edit| edit.revision == first)
            {
                return Next::Lost;
            }
        }
        // What stands before a newer root was read, and an intent is evicted by later ones of its name
        // only: a name that has not moved on has none of this batch, and so the log has nothing of it.
        if self
            .claims
            .iter()
            .any(|claim| generation(claim) < claim.generation)
        {
            return Next::Lost;
        }
        Next::Ask
    }

    /// The claim whose next intent, after the root built on, tells.
    pub fn asks(&self) -> Option<&Claim> {
        self.claims.get(self.asked)
    }

    /// Takes the next intent of the claim asked for: its generation, and the hash of its payload.
    /// Nothing there proves nothing: who answered may not know yet.
    pub fn answered(&mut self, found: Option<(Generation, Hash)>) -> Next {
        let Some(claim) = self.claims.get(self.asked) else {
            return Next::Unknown;
        };
        match found {
            None => Next::Ask,
            Some((_, hash)) if hash == claim.hash => Next::Committed,
            Some((generation, _)) if generation == claim.generation => Next::Lost,
            // The first one was evicted, and may have been ours. Another edit may still tell.
            Some(_) => {
                self.asked += 1;
                if self.asked < self.claims.len() {
                    Next::Ask
                } else {
                    Next::Unknown
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> Revision {
        Revision { epoch: 1, number }
    }

    fn hash(text: &str) -> Hash {
        Hash::of(text.as_bytes())
    }

    fn claim(name: &str, generation: u64) -> Claim {
        Claim {
            kind: Kind::Policy,
            name: Name::parse(name).unwrap(),
            generation: Generation(generation),
            hash: hash(name),
        }
    }

    fn attempt() -> Attempt {
        Attempt::new(at(7), hash("own root"), vec![claim("a", 3), claim("b", 1)])
    }

    /// What the log has of a name that moved on.
    fn moved(_: &Claim) -> Generation {
        Generation(70)
    }

    fn root(of: &str, first: u64, last: u64) -> SeenRoot {
        let edit = |number| RootEdit {
            revision: at(number),
            request_id: "the same request".into(),
            kind: Kind::Policy,
            name: Name::parse("a").unwrap(),
            generation: Generation(3),
        };
        SeenRoot {
            revision: at(last),
            hash: hash(of),
            edits: (first..=last).map(edit).collect(),
        }
    }

    #[test]
    fn a_conflict_is_lost_only_while_nothing_is_in_doubt() {
        let mut attempt = attempt();
        assert_eq!(attempt.replied(Reply::Retry), Next::Send);
        assert_eq!(attempt.replied(Reply::Conflict), Next::Lost);
        assert_eq!(attempt.replied(Reply::Unknown), Next::Send);
        assert_eq!(attempt.replied(Reply::Conflict), Next::Look);
        assert_eq!(attempt.replied(Reply::Committed), Next::Committed);
    }

    #[test]
    fn a_refusal_after_a_lost_answer_is_no_refusal() {
        let mut attempt = attempt();
        assert_eq!(attempt.replied(Reply::Refused), Next::Refused);
        attempt.replied(Reply::Unknown);
        assert_eq!(attempt.replied(Reply::Refused), Next::Send);
        assert!(attempt.is_in_doubt());
    }

    #[test]
    fn the_root_after_the_one_built_on_decides() {
        let attempt = attempt();
        let own = root("own root", 8, 9);
        let other = root("another root with the same request", 8, 9);
        assert_eq!(attempt.seen(at(7), [&root("old", 7, 7)], moved), Next::Look);
        assert_eq!(
            attempt.seen(at(9), [&root("old", 7, 7), &own], moved),
            Next::Committed
        );
        assert_eq!(
            attempt.seen(at(9), [&root("old", 7, 7), &other], moved),
            Next::Lost
        );
        assert_eq!(
            attempt.seen(at(12), [&root("later", 10, 12), &own], moved),
            Next::Committed
        );
    }

    #[test]
    fn where_that_root_is_gone_the_next_intent_of_an_own_name_decides() {
        let gone = [&root("later", 10, 12)];
        let mut own = attempt();
        assert_eq!(own.seen(at(12), gone, moved), Next::Ask);
        assert_eq!(own.answered(None), Next::Ask);
        assert_eq!(
            own.answered(Some((Generation(3), hash("a")))),
            Next::Committed
        );
        let other = Some((Generation(3), hash("another's")));
        assert_eq!(attempt().answered(other), Next::Lost);
    }

    #[test]
    fn an_own_name_that_has_not_moved_on_tells_that_the_batch_is_not_there() {
        let gone = [&root("later", 10, 12)];
        let b_is_as_before = |claim: &Claim| match claim.name.as_str() {
            "b" => Generation(0),
            _ => Generation(70),
        };
        assert_eq!(attempt().seen(at(12), gone, b_is_as_before), Next::Lost);
        assert_eq!(attempt().seen(at(7), gone, b_is_as_before), Next::Look);
    }

    #[test]
    fn what_was_evicted_is_asked_of_the_next_edit_and_then_not_known() {
        let mut attempt = attempt();
        let evicted = Some((Generation(70), hash("later")));
        assert_eq!(attempt.answered(evicted), Next::Ask);
        assert_eq!(attempt.asks().unwrap().name.as_str(), "b");
        assert_eq!(attempt.clone().answered(evicted), Next::Unknown);
        assert_eq!(
            attempt.answered(Some((Generation(1), hash("b")))),
            Next::Committed
        );
    }
}
