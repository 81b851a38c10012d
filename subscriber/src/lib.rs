//! The subscriber: follows the log of its own region and stage, brings its cluster to what the log
//! says, and answers with signed acknowledgements.
//!
//! A pipeline of named steps, one file a step: receive → verify → admit → observe → plan → apply →
//! report. What to do is decided in `writ-core`; this crate owns the sockets and the timers.

pub mod apply;
pub mod args;
pub mod ceiling;
mod ceiling_watch;
mod classify;
mod clock;
pub mod cluster;
pub mod confirmed;
pub mod connect;
pub mod cut;
pub mod desired;
pub mod drift;
pub mod engine;
pub mod enrol;
mod evidence;
#[cfg(test)]
mod fake;
pub mod fenced;
mod glances;
mod intake;
mod inventory;
pub mod kube_api;
mod learn;
pub mod lease;
mod load;
mod look;
mod memory;
mod metrics;
pub mod mirror;
pub mod namespaces;
mod news;
pub mod observe;
mod outbox;
pub mod outcome;
pub mod permit;
mod pilot;
mod preview;
mod receive;
pub mod registry;
mod remember;
mod repair;
mod report;
pub mod resource;
mod retry;
pub mod roles;
pub mod run;
mod settle;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod slot;
pub mod state;
mod traces;
mod trust;
mod unmade;
mod verify;
mod waiting;
mod work;

pub use metrics::metric_names;
