//! The few things that the subscriber asks of a Kubernetes API.
//!
//! The real client and a simulated cluster implement the same trait. It promises that a success is
//! what the API server itself answered, and that no call is repeated behind the caller's back: a
//! repeated creation would look like somebody else's object.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde_json::Value;
use writ_core::model::ObjectRef;
use writ_core::plan::Reason;

use crate::resource::{Found, Resource};

/// A Kubernetes API as the subscriber sees it.
pub trait ClusterApi: Send + Sync + 'static {
    /// Reads one object; `None` only if the API server said that this very object does not exist.
    fn get(
        &self,
        reference: &ObjectRef,
    ) -> impl Future<Output = Result<Option<Value>, Error>> + Send;

    /// Asks how a kind is served; `None` only if the API server said that it serves no such kind.
    fn find_kind(
        &self,
        reference: &ObjectRef,
    ) -> impl Future<Output = Result<Option<Found>, Error>> + Send;

    /// Reads all objects of a kind, over all namespaces.
    fn list(&self, resource: Resource) -> impl Future<Output = Result<Vec<Value>, Error>> + Send;

    /// Server-side apply under our field manager.
    fn apply(
        &self,
        reference: &ObjectRef,
        content: &Value,
        expect: Expect<'_>,
    ) -> impl Future<Output = Result<Written, Error>> + Send;

    /// Deletes exactly this state of exactly this object.
    fn delete(
        &self,
        reference: &ObjectRef,
        identity: Identity<'_>,
    ) -> impl Future<Output = Result<Deletion, Error>> + Send;

    /// Takes our labels off exactly this object and leaves it where it is.
    fn release(
        &self,
        reference: &ObjectRef,
        identity: Identity<'_>,
    ) -> impl Future<Output = Result<Written, Error>> + Send;

    /// Replaces an object as a whole; refused with [`ErrorKind::Conflict`] if it is no longer at
    /// the resource version that the content names.
    fn replace(
        &self,
        reference: &ObjectRef,
        content: &Value,
    ) -> impl Future<Output = Result<Written, Error>> + Send;

    /// Asks whether the API server would create an object, admission included; nothing is kept.
    fn dry_run(
        &self,
        reference: &ObjectRef,
        content: &Value,
    ) -> impl Future<Output = Result<Value, Error>> + Send;
}

/// What an apply may find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect<'a> {
    /// Nothing: another's object in that place is left as it is, and is [`ErrorKind::Foreign`].
    New,
    /// The object of that uid; any other, or none, is a [`ErrorKind::Conflict`].
    Existing(&'a str),
    /// That very state of that object; any other, or none, is a [`ErrorKind::Conflict`]. For content that
    /// was made from what was read.
    State(Identity<'a>),
    /// Either: the kind is the subscriber's own (mirrors).
    Own,
}

/// Which object, and which state of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Which object of that name.
    pub uid: &'a str,
    /// Which state of it.
    pub resource_version: &'a str,
}

/// The API server's answer to a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The object did not exist before.
    pub created: bool,
    /// Which object it is.
    pub uid: String,
    /// Which state it has now.
    pub resource_version: String,
    /// The object as answered.
    pub content: Value,
}

/// The API server's answer to a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It does not exist any more.
    Gone,
    /// A finalizer holds it: it is going to be gone, and is not yet.
    Finalizing,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {target}: {message}")]
pub struct Error {
    /// What kind of failure, for decisions.
    pub kind: ErrorKind,
    /// What was tried.
    pub action: &'static str,
    /// On what: an object, or a kind.
    pub target: String,
    /// What the API server said, cut to [`MESSAGE_LENGTH_MAX_BYTES`].
    pub message: String,
    /// How long the API server asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The cause below HTTP, if there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Longest message of an API server that is kept: it ends up in acks and mirrors.
pub const MESSAGE_LENGTH_MAX_BYTES: usize = 512;

/// What kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Somebody else's object is in the place.
    Foreign,
    /// The namespace does not exist.
    NamespaceMissing,
    /// The namespace is going away.
    NamespaceTerminating,
    /// The role that a binding names could not be made, so the binding was not sent.
    RoleMissing,
    /// The object is not there.
    Missing,
    /// The kind is not served: its CustomResourceDefinition is missing.
    NotServed,
    /// The content will never be taken, whatever the status code was.
    Invalid,
    /// RBAC does not allow it.
    Forbidden,
    /// The ceiling does not allow it.
    Ceiling,
    /// A webhook, another admission policy or a quota does not allow it.
    Refused,
    /// The token is not accepted.
    Unauthenticated,
    /// It is being deleted, and a finalizer holds it.
    Finalizing,
    /// The object changed since it was read, or another has its name.
    Conflict,
    /// The API server failed while answering.
    Server,
    /// No usable answer: no connection, a timeout, too many requests. Whether it was done is
    /// unknown.
    Unavailable,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Read again and try again.
    Retry,
    /// The same content will fail again.
    Reject,
    /// Nothing will work until somebody changes the installation.
    Halt,
}

impl ErrorKind {
    /// What to do about it.
    pub fn disposition(self) -> Disposition {
        match self {
            ErrorKind::Foreign
            | ErrorKind::Invalid
            | ErrorKind::Forbidden
            | ErrorKind::Ceiling
            | ErrorKind::Refused => Disposition::Reject,
            ErrorKind::NotServed | ErrorKind::Unauthenticated => Disposition::Halt,
            ErrorKind::NamespaceMissing
            | ErrorKind::NamespaceTerminating
            | ErrorKind::RoleMissing
            | ErrorKind::Finalizing
            | ErrorKind::Missing
            | ErrorKind::Conflict
            | ErrorKind::Server
            | ErrorKind::Unavailable => Disposition::Retry,
        }
    }

    /// The reason as acks carry it.
    pub fn reason(self) -> Reason {
        match self {
            ErrorKind::Foreign => Reason::ForeignObject,
            ErrorKind::NamespaceMissing => Reason::NamespaceMissing,
            ErrorKind::NamespaceTerminating => Reason::NamespaceTerminating,
            ErrorKind::RoleMissing => Reason::RoleMissing,
            ErrorKind::Finalizing => Reason::Finalizing,
            ErrorKind::Invalid => Reason::Invalid,
            ErrorKind::Forbidden => Reason::Forbidden,
            ErrorKind::Ceiling => Reason::CeilingExceeded,
            ErrorKind::Refused => Reason::ClusterRefused,
            ErrorKind::NotServed => Reason::Unsupported,
            ErrorKind::Missing | ErrorKind::Conflict => Reason::Conflict,
            ErrorKind::Unauthenticated | ErrorKind::Server | ErrorKind::Unavailable => {
                Reason::Unavailable
            }
        }
    }

    /// The label of metrics.
    pub fn category(self) -> &'static str {
        match self {
            ErrorKind::Foreign => "foreign",
            ErrorKind::NamespaceMissing => "namespace_missing",
            ErrorKind::NamespaceTerminating => "namespace_terminating",
            ErrorKind::RoleMissing => "role_missing",
            ErrorKind::Finalizing => "finalizing",
            ErrorKind::Missing => "missing",
            ErrorKind::NotServed => "not_served",
            ErrorKind::Invalid => "invalid",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::Ceiling => "ceiling",
            ErrorKind::Refused => "refused",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Server => "server",
            ErrorKind::Unavailable => "unavailable",
        }
    }
}

impl Error {
    /// A failure without a cause below HTTP.
    pub fn new(
        kind: ErrorKind,
        action: &'static str,
        target: impl fmt::Display,
        message: impl Into<String>,
    ) -> Error {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_LENGTH_MAX_BYTES));
        Error {
            kind,
            action,
            target: target.to_string(),
            message,
            retry_after: None,
            source: None,
        }
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error {
            source: Some(source.into()),
            ..self
        }
    }
}
