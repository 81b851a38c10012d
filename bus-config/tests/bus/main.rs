//! What the bus promises, each time against a real nats-server of the test's own.

mod access;
mod backup;
mod batch;
mod enrolment;
mod harness;
mod injection;
mod joining;
mod leaf;
mod live;
mod log;
mod nonce;
mod past;
mod places;
mod read;
mod revocation;
mod rotation;
mod streams;
