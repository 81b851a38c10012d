//! Several publishers on one log, and what happens to edits when publishers and servers are killed.
//! Each test has its own real nats-servers and publishers.

mod kills;

/// The executable under test.
const WRIT: &str = env!("CARGO_BIN_EXE_writ-under-test");
