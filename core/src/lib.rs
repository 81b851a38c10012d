//! The rules of Writ, pure and synchronous.
//!
//! Owns the words that publisher and subscriber share (names, scopes, revisions, subjects), what is
//! signed and how it is checked, and the state machines that decide: the publisher's edit, the
//! subscriber's follower, the planner and the tracker.
//! Never reads a clock, a random source or a socket: time, keys and answers are arguments. That is
//! what lets a simulator run the real logic under any order of events.

pub mod access;
pub mod ack;
pub mod beat;
pub mod ceiling;
pub mod edit;
pub mod enrol;
pub mod envelope;
pub mod epoch;
pub mod event;
pub mod follower;
pub mod guard;
pub mod hash;
pub mod index;
#[cfg(feature = "mutations")]
pub mod memo;
pub mod model;
pub mod name;
pub mod placement;
pub mod plan;
pub mod recover;
pub mod revision;
pub mod root;
pub mod scope;
pub mod secret_file;
pub mod subject;
pub mod trace;
pub mod tracker;
pub mod trust;
