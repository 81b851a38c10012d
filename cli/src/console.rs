//! The terminal, or what stands in for it.
//!
//! Owns standard output and standard error for the length of a command. Promises that a reader who
//! went away (`| head`) never stops an edit midway: writing does not fail, what failed is told once
//! at the end. Never reads.

use std::env;
use std::io::{self, IsTerminal as _, Write};
use std::ops::ControlFlow;

use jiff::tz::TimeZone;

/// Where a command writes, and what the reader can see.
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    out_failed: Option<io::Error>,
    /// Whether progress may be drawn on standard error.
    pub progress: bool,
    /// Whether standard output is a terminal that can be drawn over.
    pub redraw: bool,
    /// Whether standard output takes colours.
    pub colour: bool,
    /// The zone that times of day are shown in.
    pub zone: TimeZone,
}

impl Console {
    /// The process's own streams. `NO_COLOR` (any value but the empty one) and `TERM=dumb` turn
    /// colours off.
    pub fn from_process() -> Self {
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|value| value == "dumb");
        let out_is_terminal = io::stdout().is_terminal();
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            out_failed: None,
            progress: io::stderr().is_terminal(),
            redraw: out_is_terminal,
            colour: out_is_terminal && !plain,
            zone: TimeZone::system(),
        }
    }

    /// Any two writers, without colours or progress, times in UTC.
    pub fn plain(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            err,
            out_failed: None,
            progress: false,
            redraw: false,
            colour: false,
            zone: TimeZone::UTC,
        }
    }

    /// A line of the answer.
    pub fn say(&mut self, line: impl AsRef<str>) {
        self.write(line.as_ref());
        self.write("\n");
    }

    /// A piece of the answer as it is.
    pub fn write(&mut self, text: &str) {
        if self.out_failed.is_none()
            && let Err(error) = self
                .out
                .write_all(text.as_bytes())
                .and_then(|()| self.out.flush())
        {
            self.out_failed = Some(error);
        }
    }

    /// A line about the answer: errors, warnings, what to do next.
    pub fn tell(&mut self, line: impl AsRef<str>) {
        // Nobody is left to be told when standard error itself is gone.
        let _ = writeln!(self.err, "{}", line.as_ref());
    }

    /// A line of progress, drawn over the one before; nothing where standard error is not a
    /// terminal.
    pub fn progress(&mut self, line: &str) {
        if self.progress {
            let _ = write!(self.err, "\r\x1b[2K{line}");
            let _ = self.err.flush();
        }
    }

    /// Takes the line of progress away.
    pub fn progress_done(&mut self) {
        self.progress("");
    }

    /// What went wrong while writing the answer; a reader who closed the pipe had what it wanted.
    pub fn out_error(&mut self) -> Option<io::Error> {
        self.out_failed
            .take()
            .filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    /// Whether to go on: not where nobody reads the answer any more.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        match self.out_failed.is_some() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
