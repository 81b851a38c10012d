//! Clusters that join and leave, on a real nats-server with real publishers.

mod approval;
mod asker;
mod cutting_off;
mod leaving;
mod rights;
mod scene;
mod subscriber;
mod token;

/// The executable under test.
const WRIT: &str = env!("CARGO_BIN_EXE_writ-under-test");
