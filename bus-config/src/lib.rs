//! `writ-bus`: the one crate that talks to NATS.
//!
//! Owns the streams, accounts and permissions of the bus and the configuration of its servers, and
//! the few ways in which Writ uses it: the atomic batch, reads of single subjects, the publishers'
//! view of the log, and the subscribers' live messages.
//! Promises: what it reports as committed is stored; a refused request fails with the reason and
//! does not just time out; a place where live messages may have been lost is reported as a gap.
//! Never: looks into a payload. Bytes go in and come out; signatures and their meaning are core's.

pub mod accounts;
pub mod audit;
pub mod backup;
pub mod batch;
pub mod config;
pub mod connection;
pub mod enrol;
pub mod identity;
pub mod leaf;
pub mod live;
pub mod log;
pub mod mirror;
pub mod past;
pub mod read;
pub mod registrar;
pub mod secret;
pub mod streams;
pub mod tool;

mod api;
mod consumer;
mod denial;
mod error;
mod login;
mod places;
mod requests;

pub use connection::{Client, Options, connect};
