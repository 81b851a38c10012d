//! When the next frame of a tab may be sent: one that comes alone at once, and never more than four in any second.
//!
//! Pure: time is given to it.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Frames within any second.
const FRAMES_MAX: usize = 4;

/// What a second is here.
const WINDOW: Duration = Duration::from_secs(1);

/// The least time between two frames, where few were sent lately: what comes together is sent together.
const GAP_MIN: Duration = Duration::from_millis(60);

/// The same where as many were sent as there may be: they are spread over the second.
const GAP_BUSY: Duration = Duration::from_millis(250);

/// Frames of the last second with which one that nobody waits for is still sent on its own.
const AT_LEISURE_MAX: usize = 2;

/// The frames that were sent within the last second.
#[derive(Debug, Default)]
pub(crate) struct Pace(VecDeque<Instant>);

impl Pace {
    /// A frame is sent.
    pub(crate) fn sent(&mut self, at: Instant) {
        self.0.push_back(at);
        while self.0.len() > FRAMES_MAX {
            self.0.pop_front();
        }
    }

    /// From when on the next may be sent, where any was sent before; `is_urgent`: somebody waits for it.
    pub(crate) fn next(&self, is_urgent: bool) -> Option<Instant> {
        let last = self.0.back()?;
        let lately = self.0.iter().filter(|at| **at + WINDOW > *last).count();
        let gap = match is_urgent && lately <= AT_LEISURE_MAX {
            true => GAP_MIN,
            false => GAP_BUSY,
        };
        let most = if is_urgent {
            FRAMES_MAX
        } else {
            AT_LEISURE_MAX
        };
        let leaves = self
            .0
            .len()
            .checked_sub(most)
            .map(|place| self.0[place] + WINDOW);
        leaves.max(Some(*last + gap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds at which frames are sent where changes come at these, all urgent or none.
    fn sent(changes: impl IntoIterator<Item = u64>, is_urgent: bool) -> Vec<u64> {
        mixed(changes.into_iter().map(|change| (change, is_urgent)))
    }

    /// The same where each says for itself whether it is urgent.
    fn mixed(changes: impl IntoIterator<Item = (u64, bool)>) -> Vec<u64> {
        let begun = Instant::now();
        let mut pace = Pace::default();
        let mut all: Vec<u64> = Vec::new();
        for (change, is_urgent) in changes {
            if all.last().is_some_and(|last| *last >= change) {
                continue;
            }
            let change = begun + Duration::from_millis(change);
            let at = pace.next(is_urgent).max(Some(change)).unwrap();
            pace.sent(at);
            all.push(u64::try_from((at - begun).as_millis()).unwrap());
        }
        all
    }

    #[test]
    fn there_are_never_more_than_four_in_any_second_and_under_load_one_every_quarter() {
        for step in [1, 7, 50, 61, 130, 240, 251] {
            let all = sent((0..20_000).step_by(step), true);
            for five in all.windows(5) {
                assert!(five[4] - five[0] >= 1_000, "{step}: {five:?}");
            }
            let gaps = all.windows(2).skip(8).map(|two| two[1] - two[0]);
            assert!(gaps.max().unwrap() <= 260, "{step}: {all:?}");
        }
    }

    #[test]
    fn what_comes_alone_waits_for_nothing_and_what_nobody_waits_for_leaves_room_for_it() {
        let alone = [0, 400, 800, 1_200, 1_600, 2_000];
        assert_eq!(sent(alone, true), alone);
        assert_eq!(sent([0, 70], true), [0, 70]);
        assert_eq!(sent([0, 1], true), [0, 60]);
        let idle = sent(0..5_000, false);
        for three in idle.windows(3) {
            assert!(three[2] - three[0] >= 1_000, "{idle:?}");
        }
    }

    #[test]
    fn of_urgent_and_other_changes_together_there_are_no_more_either_and_one_that_comes_alone_goes_at_once()
     {
        for every in [2, 3, 5, 11] {
            let changes = (0..20_000).step_by(37).enumerate();
            let all = mixed(changes.map(|(at, change)| (change, at % every == 0)));
            for five in all.windows(5) {
                assert!(five[4] - five[0] >= 1_000, "{every}: {five:?}");
            }
        }
        let lesser = (0..3_000).step_by(50).map(|change| (change, false));
        let urgent = 3_100;
        let all = mixed(lesser.chain([(urgent, true)]));
        assert!(all.last().unwrap() - urgent <= 60, "{all:?}");
    }
}
