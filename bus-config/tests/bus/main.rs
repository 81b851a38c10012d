//! What the bus promises, each time against a real nats-server of the test's own.

mod access;
mod backup;
mod batch;
mod harness;
mod injection;
mod leaf;
mod live;
mod log;
mod past;
mod read;
mod reload;
mod streams;
