//! What a server of the bus can do that is in wrong hands, and what whoever holds an identity on it can
//! do by sheer number, on real parts. The other attacks are where what they attack is tested:
//! docs/security.md has the table.

mod floods;
#[path = "../keys/scene.rs"]
#[allow(dead_code, reason = "the tests of keys ask more of it")]
mod scene;
mod servers;
mod thief;
