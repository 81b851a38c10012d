//! The subscriber's engine against a real API server, with the rights of its own account. Each test
//! has a cluster of its own.

mod drift;
mod engine;
mod fixture;
mod foreign;
mod kinds;
mod lease;
mod mirrors;
mod namespaces;
mod observing;
mod ownership;
mod reporting;
mod requests;
mod restart;
mod roles;
