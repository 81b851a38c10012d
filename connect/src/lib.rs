//! How programs of Writ reach each other, and issuers of identities, by TLS.
//!
//! Owns reading certificates and keys, what a client checks of a server, the way to one of several
//! publishers, the file that describes a fleet to its users, and a small HTTPS client.
//! Promises: plaintext goes to a loopback address only, and only where it was asked for by name; a key
//! that others can read is refused. Never decides who may do what.

pub mod channel;
pub mod fleet;
pub mod https;
pub mod pem;
pub mod tls;

pub use channel::Way;
pub use fleet::Fleet;
