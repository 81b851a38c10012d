//! Fights: somebody else rewrites an object as often as we put it back.
//!
//! Each put-back of what a person did by hand happens at once. Where a program disagrees, putting
//! back at once would only burn the API server, so after a few of them within a short time the
//! object is left alone for ever longer, and its policy says who is on the other side.

use std::collections::{BTreeMap, VecDeque};

use crate::model::ObjectRef;

/// So many put-backs of one object within [`WINDOW_MS`] happen at once: more than a person does by
/// hand, and fewer than a controller does in a second.
pub const PUT_BACKS_MAX: usize = 5;
/// The time over which they are counted.
pub const WINDOW_MS: u64 = 60_000;
/// How long the object is left alone after the first one too many; doubles with each further one.
pub const BACKOFF_MIN_MS: u64 = 10_000;
/// The longest time for which it is left alone.
pub const BACKOFF_MAX_MS: u64 = 300_000;
/// Without a put-back for this long the fight is over and forgotten.
pub const QUIET_MS: u64 = 2 * BACKOFF_MAX_MS;
/// Objects that are remembered; more are not worth the memory, and begin anew.
const OBJECTS_MAX: usize = 4_096;

/// The put-backs of all objects.
#[derive(Debug, Clone, Default)]
pub struct Contention {
    objects: BTreeMap<ObjectRef, Fight>,
}

#[derive(Debug, Clone, Default)]
struct Fight {
    /// When we put it back, within the window.
    put_back_ms: VecDeque<u64>,
    last_ms: u64,
    put_backs: u32,
    rounds: u32,
    free_at_ms: u64,
    manager: Option<String>,
}

impl Contention {
    /// An object was put back after that field manager had changed it.
    pub fn note(&mut self, object: &ObjectRef, manager: Option<&str>, now_ms: u64) {
        self.forget_quiet(now_ms);
        if self.objects.len() >= OBJECTS_MAX && !self.objects.contains_key(object) {
            self.objects.pop_first();
        }
        let fight = self.objects.entry(object.clone()).or_default();
        fight.manager = manager.map(str::to_owned).or(fight.manager.take());
        fight.last_ms = now_ms;
        fight.put_backs = fight.put_backs.saturating_add(1);
        fight.put_back_ms.push_back(now_ms);
        let begin = now_ms.saturating_sub(WINDOW_MS);
        fight.put_back_ms.retain(|at| *at >= begin);
        // Once it has begun, every further put-back is one too many until it is quiet.
        if fight.rounds > 0 || fight.put_back_ms.len() >= PUT_BACKS_MAX {
            let backoff_ms = BACKOFF_MIN_MS << fight.rounds.min(16);
            fight.free_at_ms = now_ms + backoff_ms.min(BACKOFF_MAX_MS);
            fight.rounds += 1;
        }
    }

    /// Why an object is left alone now, for people; `None` if it may be put back.
    pub fn holds(&self, object: &ObjectRef, now_ms: u64) -> Option<String> {
        let fight = self.objects.get(object)?;
        let left_ms = fight.free_at_ms.checked_sub(now_ms).filter(|ms| *ms > 0)?;
        let manager = fight.manager.as_deref().unwrap_or("somebody");
        // Rounded, so that the text does not change with every look.
        let about_s = left_ms.next_multiple_of(BACKOFF_MIN_MS) / 1_000;
        Some(format!(
            "put back {} times, and {manager} changes it again; left alone for up to {about_s} s",
            fight.put_backs
        ))
    }

    /// When the first object may be put back again; `None` if none is left alone.
    #[cfg(test)]
    fn next_free_ms(&self, now_ms: u64) -> Option<u64> {
        let times = self.objects.values().map(|fight| fight.free_at_ms);
        times.filter(|at| *at > now_ms).min()
    }

    /// An object left its policy.
    pub fn forget(&mut self, object: &ObjectRef) {
        self.objects.remove(object);
    }

    fn forget_quiet(&mut self, now_ms: u64) {
        self.objects
            .retain(|_, fight| now_ms.saturating_sub(fight.last_ms) < QUIET_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: Some("payments".to_owned()),
            name: name.to_owned(),
        }
    }

    fn fought(until_ms: u64) -> Contention {
        let mut contention = Contention::default();
        for _ in 0..PUT_BACKS_MAX {
            contention.note(&object("a"), Some("argocd"), until_ms);
        }
        contention
    }

    #[test]
    fn a_person_who_changes_an_object_now_and_then_is_no_fight() {
        let mut contention = Contention::default();
        for round in 0..50 {
            let now_ms = round * (WINDOW_MS / (PUT_BACKS_MAX as u64 - 1) + 1);
            contention.note(&object("a"), Some("kubectl"), now_ms);
            assert_eq!(contention.holds(&object("a"), now_ms), None, "{round}");
        }
    }

    #[test]
    fn after_some_put_backs_the_object_is_left_alone_and_the_other_side_is_named() {
        let contention = fought(1_000);
        let message = contention.holds(&object("a"), 1_000).unwrap();
        assert!(message.contains("argocd"), "{message}");
        assert_eq!(
            contention.holds(&object("b"), 1_000),
            None,
            "others are not held back"
        );
        assert!(
            contention
                .holds(&object("a"), 999 + BACKOFF_MIN_MS)
                .is_some()
        );
        assert_eq!(contention.holds(&object("a"), 1_000 + BACKOFF_MIN_MS), None);
        assert_eq!(contention.next_free_ms(1_000), Some(1_000 + BACKOFF_MIN_MS));
    }

    #[test]
    fn the_time_doubles_up_to_its_limit() {
        let mut contention = fought(0);
        let (mut now_ms, mut expected_ms) = (0, BACKOFF_MIN_MS);
        for _ in 0..40 {
            assert_eq!(contention.next_free_ms(now_ms), Some(now_ms + expected_ms));
            now_ms += expected_ms;
            contention.note(&object("a"), None, now_ms);
            expected_ms = (expected_ms * 2).min(BACKOFF_MAX_MS);
        }
        assert!(
            contention
                .holds(&object("a"), now_ms)
                .unwrap()
                .contains("argocd")
        );
    }

    #[test]
    fn quiet_ends_a_fight() {
        let mut contention = fought(0);
        contention.note(&object("a"), Some("argocd"), QUIET_MS);
        assert_eq!(contention.holds(&object("a"), QUIET_MS), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut contention = Contention::default();
        for number in 0..OBJECTS_MAX + 10 {
            contention.note(&object(&number.to_string()), None, 1);
        }
        assert_eq!(contention.objects.len(), OBJECTS_MAX);
    }
}
