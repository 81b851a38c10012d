//! The steps of a commit between which a test ends the process.
//!
//! With the feature `failpoints` the process aborts at the step that `WRIT_FAILPOINT` names, at the
//! n-th time that it gets there (`stored` or `stored:3`). Without it, as in every build for use, the
//! functions here are empty and nothing reads the environment.

/// Where a publisher may be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "failpoints"), allow(dead_code))]
pub(crate) enum Step {
    /// The edits of a batch are taken, and nothing is made of them.
    Taken,
    /// The batch is signed, and nothing of it is sent.
    Sealed,
    /// The batch is on its way.
    Sending,
    /// The log said that the batch is stored, and the follower has not read it.
    Stored,
    /// The follower has read it, and nobody is answered.
    Seen,
    /// One of the edits is answered, and the others are not.
    Answered,
}

#[cfg(not(feature = "failpoints"))]
mod imp {
    use std::future::Future;

    use super::Step;

    #[inline(always)]
    pub(crate) fn hit(_: Step) {}

    #[inline(always)]
    pub(crate) fn during<F: Future>(_: Step, work: F) -> F {
        work
    }
}

#[cfg(feature = "failpoints")]
mod imp {
    use std::{
        future::Future,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::Step;

    /// How often the step that is named was reached.
    static REACHED: AtomicU32 = AtomicU32::new(0);

    pub(crate) fn hit(step: Step) {
        if is_due(step) {
            std::process::abort();
        }
    }

    /// Ends the process once `work` was begun: what it had to send is handed to the connection.
    pub(crate) async fn during<F: Future>(step: Step, work: F) -> F::Output {
        if !is_due(step) {
            return work.await;
        }
        let begun = async {
            // The connection's own task gets to send nothing of it, a part, or all.
            let most_us = rand::random_range(0..3_000);
            tokio::time::sleep(std::time::Duration::from_micros(most_us)).await;
            std::process::abort()
        };
        tokio::select! {
            biased;
            output = work => output,
            () = begun => unreachable!("the process has ended"),
        }
    }

    fn is_due(step: Step) -> bool {
        let Ok(wanted) = std::env::var("WRIT_FAILPOINT") else {
            return false;
        };
        let (name, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        format!("{step:?}").eq_ignore_ascii_case(name)
            && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == times.parse().unwrap_or(1)
    }
}

pub(crate) use imp::{during, hit};
