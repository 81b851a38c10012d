//! What real clusters hold, and policies by chance, through the engine on a real API server: with the
//! rights of the subscriber's own account, under the ceiling. Each test has a cluster of its own.

#[path = "../subscriber/fixture.rs"]
#[allow(dead_code)]
mod fixture;

mod bootstrap;
mod ceiling;
mod default_ceiling;
mod generated;
mod inventory;
mod open_ceiling;
mod watching;
