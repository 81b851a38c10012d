//! How a command ends.
//!
//! Owns the table of exit codes, which scripts lean on: a code never changes its meaning. Decides
//! which code stands for how far an edit has come; never prints.

use std::process::ExitCode;

/// How a command ended, for whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, the condition holds, no difference.
    Done = 0,
    /// Failed: the server, the network, the input, or there is no such thing.
    Failed = 1,
    /// The command line is not right (clap's own code).
    Usage = 2,
    /// Differences exist.
    Differs = 3,
    /// Time ran out, some clusters are still pending.
    TimedOut = 4,
    /// Refused on at least one cluster: waiting will not help.
    Refused = 5,
    /// Every live cluster is there, some are silent.
    Silent = 6,
    /// The base generation is not the current one.
    Conflict = 7,
    /// Not allowed, or not logged in.
    Denied = 8,
    /// A guard said no.
    Guarded = 9,
    /// Interrupted (128 + SIGINT, as shells say it).
    Interrupted = 130,
}

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The one to report when several hold: what waiting cannot mend first, then what it could,
    /// then silence.
    pub fn worse(self, other: Exit) -> Exit {
        if self.rank() >= other.rank() {
            self
        } else {
            other
        }
    }

    fn rank(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Silent => 1,
            Exit::Differs => 2,
            Exit::TimedOut => 3,
            Exit::Refused => 4,
            Exit::Failed => 5,
            Exit::Guarded => 6,
            Exit::Denied => 7,
            Exit::Conflict => 8,
            Exit::Usage => 9,
            Exit::Interrupted => 10,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn every_code_is_the_one_that_scripts_know() {
        let table = [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Differs, 3),
            (Exit::TimedOut, 4),
            (Exit::Refused, 5),
            (Exit::Silent, 6),
            (Exit::Conflict, 7),
            (Exit::Denied, 8),
            (Exit::Guarded, 9),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in table {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn a_refusal_is_reported_before_a_timeout_and_a_timeout_before_silence() {
        assert_eq!(Exit::TimedOut.worse(Exit::Refused), Exit::Refused);
        assert_eq!(Exit::Silent.worse(Exit::TimedOut), Exit::TimedOut);
        assert_eq!(Exit::Silent.worse(Exit::Done), Exit::Silent);
        assert_eq!(Exit::Done.worse(Exit::Done), Exit::Done);
    }
}
