//! Tests of the follower against a real publisher's log: single rules, each with its refused
//! neighbour (`rules`, `removals`, `reads`), and random histories with every fault at once
//! (`histories`).

mod auditor;
mod bygone;
mod chance;
mod cluster;
mod counts;
mod documents;
mod edits;
mod epochs;
mod histories;
mod log;
mod lost;
mod openings;
mod quiet;
mod reads;
mod refused;
mod removals;
mod rules;
mod scene;
mod world;
