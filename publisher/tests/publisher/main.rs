//! The publisher as a process, against a real nats-server. Each test has its own of both.

mod access;
mod acks;
mod edits;
mod epochs;
mod fake;
mod fleet;
mod groups;
mod guards;
mod history;
mod past;
mod reads;
