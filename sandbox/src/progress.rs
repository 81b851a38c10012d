//! Progress for people, on standard error only: bars at a terminal, plain lines elsewhere.
//! Never writes to standard output, where results go.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a spinner moves when nothing happens.
const TICK_PERIOD: Duration = Duration::from_millis(120);

/// Where progress is shown. Cloning shares the same lines.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    plain: bool,
}

impl Progress {
    /// Shows nothing, as tests want it.
    pub fn hidden() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Self { bars, plain: false }
    }

    /// Bars when standard error is a terminal, lines when it is not.
    pub fn stderr() -> Self {
        let bars = MultiProgress::new();
        let plain = bars.is_hidden();
        Self { bars, plain }
    }

    /// One line that stays.
    pub fn say(&self, text: &str) {
        if self.plain {
            eprintln!("{text}");
        } else {
            // A terminal that went away is no reason to stop.
            let _ = self.bars.println(text);
        }
    }

    /// Runs a step under a spinner. `done` is said with the time when it succeeded.
    pub async fn step<T, E>(
        &self,
        text: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let begun = std::time::Instant::now();
        let spinner = self.bars.add(ProgressBar::new_spinner());
        spinner.set_message(text.to_owned());
        spinner.enable_steady_tick(TICK_PERIOD);
        let outcome = work.await;
        spinner.finish_and_clear();
        if outcome.is_ok() {
            self.say(&format!(
                "✓ {text} ({:.1} s)",
                begun.elapsed().as_secs_f64()
            ));
        }
        outcome
    }

    /// A bar over a known number of steps.
    pub(crate) fn bar(&self, length: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} % {elapsed} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.bars.add(ProgressBar::new(length).with_style(style));
        bar.enable_steady_tick(TICK_PERIOD);
        bar
    }
}
