//! The publisher: takes edits, commits them as signed events, and follows what the clusters answer.
//!
//! Owns the gRPC API and the pipeline behind it, a file a step: accept, validate, place, seal, commit,
//! track. Beside it run the follower of the log, acks and pulses, and the beat.
//! Promises: what is answered as committed is in the log; what is read is not older than what was
//! asked for; nothing out of the log is believed that does not verify.
//! Never holds state of its own: the log is the database, any publisher can go at any time.

mod accept;
mod access;
mod admin;
mod alarm;
mod answer;
mod api;
mod args;
mod audit;
pub mod backup;
mod beat;
mod behind;
mod bundle;
mod caller;
mod commit;
mod current;
mod doubt;
mod draft;
mod enrol;
mod error;
mod failpoint;
mod follow;
mod gate;
mod guard;
mod hear;
mod history;
mod journal;
pub mod keys;
mod lines;
mod metrics;
mod past;
mod place;
pub mod recover;
mod registrar;
mod registry;
mod render;
mod run;
mod seal;
mod send;
mod traces;
mod track;
mod trust;
mod validate;
mod view;
mod window;
pub mod words;

pub use args::Args;
pub use audit::Error as AuditError;
pub use gate::{Args as GateArgs, ConfigError as GateConfigError, Error as GateError};
pub use metrics::metric_names;
pub use registrar::Error as RegistrarError;
pub use run::{Error, run, run_logged};
pub use window::{DashboardArgs, Error as DashboardError};
