//! End-to-end tests of Writ: a fleet of real parts, asked from outside. The tests are in `tests/`; here
//! is what several of them share.

pub mod crowd;
pub mod folder;
pub mod frames;
pub mod history;
pub mod http;
pub mod hub;
pub mod policies;
pub mod proxy;
pub mod sieve;
pub mod voice;
pub mod wait;

pub use writ_sim as sim;
