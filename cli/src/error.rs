//! What went wrong, in the words of the person at the command line.
//!
//! Owns the error of every command, its exit code, and the reading of a gRPC status (with
//! `google.rpc.BadRequest`). Promises that each message says what is wrong and what to do; never
//! prints.

use std::error::Error as StdError;
use std::fmt;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use writ_connect::tls;
use writ_proto::LOG_SUBJECT;

use crate::exit::Exit;
use crate::input;

/// A command that did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody said where the publisher is.
    #[error(
        "no fleet: name one with --fleet or WRIT_FLEET (`writ fleet add`), or give --address HOST:PORT\n  \
         for a fleet on this machine: `writ sandbox up --detach --dir DIR`, then `. DIR/env`"
    )]
    AddressMissing,
    /// The address is none.
    #[error("address `{address}` is not usable: {why}")]
    AddressInvalid {
        /// As it was given.
        address: String,
        /// What is wrong about it.
        why: &'static str,
    },
    /// The fleet, or what is kept for it.
    #[error("{what}")]
    Setup {
        /// What was tried, for instance "the fleet `eu` is not usable".
        what: String,
        /// Why it failed.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The issuer did not say who one is.
    #[error("not logged in: {0}")]
    Login(String),
    /// Nobody answers there.
    #[error(
        "could not reach the publisher at {address} (is it running? `writ sandbox up` starts a fleet)"
    )]
    Connect {
        /// As it was dialled.
        address: String,
        /// What the network said.
        #[source]
        source: tonic::transport::Error,
    },
    /// The publisher answered with an error.
    #[error("{what}")]
    Call {
        /// What was asked, for instance "clusterpolicy/payments was not applied".
        what: String,
        /// Its answer.
        #[source]
        answer: Answer,
    },
    /// The command line contradicts itself in a way that clap cannot see.
    #[error("{0}")]
    Usage(String),
    /// A guard is not answered, and nothing was sent.
    #[error("{0}")]
    Guarded(String),
    /// What was looked at is not what is there.
    #[error("{0}")]
    Conflict(String),
    /// There is no such thing, or it is not for this.
    #[error("{0}")]
    NotFound(String),
    /// The cluster's content could not be read.
    #[error("{what}")]
    Kubectl {
        /// What was asked of kubectl, and its own words.
        what: String,
        /// Why it did not run; nothing where it ran and failed.
        #[source]
        source: Option<std::io::Error>,
    },
    /// The input is not right, and nothing was sent or stored.
    #[error("{}", summary(.problems.len()))]
    Input {
        /// Everything that is wrong with it.
        problems: Vec<input::Problem>,
        /// The code to end with.
        exit: Exit,
    },
    /// Some of the input landed and some did not; the report was printed.
    #[error("stopped: {account}")]
    Partial {
        /// How many landed, and what became of the others.
        account: String,
        /// Why the first one that failed did.
        #[source]
        answer: Answer,
    },
    /// Ctrl-C.
    #[error("interrupted{0}")]
    Interrupted(&'static str),
    /// An answer that this version does not understand.
    #[error("the publisher's answer is not understood: {0}")]
    Answer(String),
    /// Standard output is gone or full.
    #[error("could not write the output")]
    Output(#[source] std::io::Error),
    /// The fleet on this machine.
    #[error("{what}")]
    Fleet {
        /// Which part of it.
        what: &'static str,
        /// Its own error.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// The code to end with.
    pub fn exit(&self) -> Exit {
        match self {
            Error::AddressMissing | Error::AddressInvalid { .. } | Error::Usage(_) => Exit::Usage,
            Error::Call { answer, .. } | Error::Partial { answer, .. } => answer.exit(),
            Error::Connect { source, .. } if tls::is_refused(source) => Exit::Denied,
            Error::Login(_) => Exit::Denied,
            Error::Interrupted(_) => Exit::Interrupted,
            Error::Guarded(_) => Exit::Guarded,
            Error::Conflict(_) => Exit::Conflict,
            Error::Input { exit, .. } => *exit,
            Error::NotFound(_)
            | Error::Kubectl { .. }
            | Error::Connect { .. }
            | Error::Setup { .. }
            | Error::Answer(_)
            | Error::Output(_)
            | Error::Fleet { .. } => Exit::Failed,
        }
    }

    /// An error of the publisher about `what`.
    pub fn call(what: impl Into<String>, status: &Status) -> Self {
        Error::Call {
            what: what.into(),
            answer: Answer::from_status(status),
        }
    }

    /// The message with all its causes, each once, as one text.
    pub fn explain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let next = error.to_string();
            // Some libraries repeat their cause in their own message.
            if !text.ends_with(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}

fn summary(problems: usize) -> String {
    match problems {
        1 => "1 problem in the input; nothing was stored".to_owned(),
        n => format!("{n} problems in the input; nothing was stored"),
    }
}

/// An error status of the publisher, with the fields that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its gRPC code.
    pub code: Code,
    /// Its message.
    pub message: String,
    /// What is wrong field by field; empty unless the code is INVALID_ARGUMENT.
    pub violations: Vec<Violation>,
    /// Whether the publisher says that it may be repeated in a moment (`google.rpc.RetryInfo`).
    pub may_repeat: bool,
    /// Whether the request may have taken effect: nobody said that it did not.
    pub is_uncertain: bool,
    /// Whether the publisher answered after it had looked in the log for what the same request did before.
    /// Any other refusal says nothing of an earlier sending.
    pub is_judged: bool,
}

/// One field of a document that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path in the document, for instance `spec.grants[0].subjects`; empty for the whole.
    pub field: String,
    /// What is wrong about it.
    pub message: String,
}

impl Answer {
    /// Reads a status and its details; details that are not understood are left out, never an error
    /// of their own.
    pub fn from_status(status: &Status) -> Self {
        // A publisher's TLS says so before any call, and HTTP/2 only that the connection broke.
        if tls::is_refused(status) {
            return Self {
                code: Code::Unauthenticated,
                message: "the publisher does not take this client certificate".to_owned(),
                violations: Vec::new(),
                may_repeat: false,
                is_uncertain: false,
                is_judged: false,
            };
        }
        let details = status.get_error_details();
        let violations = details
            .bad_request()
            .map(|bad| {
                bad.field_violations
                    .iter()
                    .map(|v| Violation {
                        field: v.field.clone(),
                        message: v.description.clone(),
                    })
                    .collect()
            })
            .unwrap_or_default();
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            violations,
            may_repeat: details.retry_info().is_some(),
            is_uncertain: is_uncertain(status),
            is_judged: is_judged(status.code(), &details),
        }
    }

    /// The code to end with when this was the answer.
    pub fn exit(&self) -> Exit {
        match self.code {
            // The other codes say that nothing took effect.
            _ if self.is_uncertain => Exit::Failed,
            Code::Aborted => Exit::Conflict,
            Code::PermissionDenied | Code::Unauthenticated => Exit::Denied,
            Code::FailedPrecondition => Exit::Guarded,
            _ => Exit::Failed,
        }
    }

    /// Whether the same request (with the same request id) may be sent again in a moment.
    pub fn is_transient(&self) -> bool {
        self.may_repeat
            || matches!(
                self.code,
                Code::Unavailable | Code::Unknown | Code::Cancelled
            )
    }

    fn label(&self) -> &'static str {
        match self.code {
            Code::Aborted => "conflict: ",
            Code::PermissionDenied => "not allowed: ",
            Code::Unauthenticated => "not logged in: ",
            Code::FailedPrecondition => "guarded: ",
            Code::NotFound => "not found: ",
            Code::AlreadyExists => "request id used already: ",
            Code::ResourceExhausted => "a limit is reached: ",
            Code::Unavailable => "unavailable: ",
            Code::DeadlineExceeded => "no answer in time: ",
            Code::Unknown | Code::Cancelled => "outcome unknown: ",
            Code::Unimplemented => "this publisher does not know that call: ",
            Code::Internal | Code::DataLoss => "error inside the publisher: ",
            _ => "",
        }
    }
}

/// The answers that come last in a publisher: what it does not let in (a token that ended meanwhile, a rate),
/// and all edits of a log that it does not believe, it refuses before it looks for an earlier sending.
fn is_judged(code: Code, details: &ErrorDetails) -> bool {
    match code {
        Code::NotFound | Code::Aborted | Code::AlreadyExists => true,
        Code::FailedPrecondition => details
            .precondition_failure()
            .is_none_or(|failure| failure.violations.iter().all(|v| v.subject != LOG_SUBJECT)),
        _ => false,
    }
}

/// A publisher that says UNAVAILABLE stored nothing; a connection that broke says nothing, and its
/// status has a cause here.
fn is_uncertain(status: &Status) -> bool {
    match status.code() {
        Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => true,
        Code::Unavailable => status.source().is_some() && !is_refused_connection(status),
        _ => false,
    }
}

/// Whether there was no connection at all, so that nothing was sent.
fn is_refused_connection(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    false
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())?;
        if self.violations.is_empty() {
            return f.write_str(if self.message.is_empty() {
                "no message"
            } else {
                &self.message
            });
        }
        for (index, violation) in self.violations.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

impl StdError for Answer {}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn field_violations_are_read_from_the_details() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation(
            "spec.clusters",
            "is missing: say `all: true` for the whole fleet",
        );
        details.add_bad_request_violation("spec.grants[0].subjects", "is empty");
        let status = Status::with_error_details(Code::InvalidArgument, "2 violations", details);
        let answer = Answer::from_status(&status);
        assert_eq!(answer.violations.len(), 2);
        assert_eq!(
            answer.to_string(),
            "spec.clusters: is missing: say `all: true` for the whole fleet; spec.grants[0].subjects: is empty"
        );
        assert_eq!(answer.exit(), Exit::Failed);
    }

    #[test]
    fn details_that_are_not_understood_leave_the_message() {
        let status = Status::with_details(Code::InvalidArgument, "bad", vec![0xff, 0xff, 1].into());
        assert_eq!(Answer::from_status(&status).to_string(), "bad");
    }

    #[test]
    fn codes_map_to_exits() {
        let exit = |code| Answer::from_status(&Status::new(code, "x")).exit();
        assert_eq!(exit(Code::Aborted), Exit::Conflict);
        assert_eq!(exit(Code::PermissionDenied), Exit::Denied);
        assert_eq!(exit(Code::Unauthenticated), Exit::Denied);
        assert_eq!(exit(Code::FailedPrecondition), Exit::Guarded);
        for code in [
            Code::NotFound,
            Code::Unavailable,
            Code::InvalidArgument,
            Code::Internal,
            Code::ResourceExhausted,
        ] {
            assert_eq!(exit(code), Exit::Failed, "{code:?}");
        }
        assert_eq!(Error::AddressMissing.exit(), Exit::Usage);
        assert_eq!(Error::Interrupted("").exit(), Exit::Interrupted);
    }

    #[test]
    fn a_missing_address_names_the_way_out() {
        let text = Error::AddressMissing.explain();
        assert!(
            text.contains("WRIT_FLEET") && text.contains("writ sandbox up"),
            "{text}"
        );
    }

    #[test]
    fn a_conflict_says_which_generation_is_current() {
        let status = Status::aborted("base generation 41 is not current: payments is at 42");
        assert_eq!(
            Error::call("clusterpolicy/payments was not applied", &status).explain(),
            "clusterpolicy/payments was not applied: conflict: base generation 41 is not current: payments is at 42"
        );
    }
}
