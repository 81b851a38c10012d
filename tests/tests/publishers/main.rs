//! Several publishers on one log, and what happens to edits when publishers and servers are killed.
//! Each test has its own real nats-servers and publishers.

mod at_least;
mod audit;
mod beats;
mod bulk;
mod kills;
mod lag;
mod rotation;
mod tracker;
mod wait;

/// The executable under test.
const WRIT: &str = env!("CARGO_BIN_EXE_writ-under-test");
