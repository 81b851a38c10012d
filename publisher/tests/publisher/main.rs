//! The publisher as a process, against a real nats-server. Each test has its own of both.

mod access;
mod acks;
mod audit;
mod connections;
mod dashboard;
mod edits;
mod epochs;
mod fake;
mod fleet;
mod gate;
mod groups;
mod guards;
mod history;
mod issuer;
mod past;
mod reads;
mod web;
