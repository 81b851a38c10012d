//! One fleet of real parts, two clusters, shared by all tests of this binary. Each test has names of
//! its own, so that they run side by side.

mod api;
mod apply;
mod bad_input;
mod bulk;
mod drift;
mod events;
mod forged;
mod grafana;
mod harness;
mod import;
mod levels;
mod metrics;
mod owner;
mod ownership;
mod past;
mod probes;
mod restart;
mod traces;
mod traces_tls;
mod why;
