//! What a process says of itself to whoever runs it: logs, metrics, traces, probes, and a dump of its state.
//!
//! Owns how all programs log and record spans, the small HTTP server of `--admin-addr`, the readiness of a process, and how metrics and
//! their labels are declared. Promises: a label's values come from a closed list, and every series is there from the
//! start with its zero, so that a rate has something to begin at; a line of a JSON log has no field outside a fixed
//! set. Never changes anything but what is logged, and never shows a secret: what is shown is what was handed to it
//! for that.

mod admin;
mod args;
mod label;
pub mod log;
mod metric;
mod readiness;
pub mod trace;

pub use admin::{Admin, Dump, Error, Refresh, announce};
pub use args::AdminArgs;
pub use label::Label;
pub use log::{LogArgs, LogFormat, describe};
pub use metric::{Counters, Gauges, Histograms, Metrics, level, names, seconds, sizes};
pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
pub use readiness::{Part, Readiness};
pub use trace::TraceArgs;
