//! How programs of Writ reach each other, and issuers of identities, by TLS.
//!
//! Owns reading certificates and keys, what a client checks of a server, the way to one of several
//! publishers, the file that describes a fleet to its users, a small HTTPS client, what issuers say, and the count of
//! how often somebody may do something.
//! Promises: plaintext goes to a loopback address only, and only where it was asked for by name; a key
//! that others can read is refused. Never decides who may do what.

pub mod channel;
pub mod fleet;
pub mod https;
pub mod oidc;
pub mod pem;
pub mod rate;
pub mod tls;

pub use channel::Way;
pub use fleet::Fleet;
