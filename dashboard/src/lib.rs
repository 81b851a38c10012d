//! The dashboard: the whole fleet, one edit, one policy, one cluster, as pages that stay as new as the fleet is.
//!
//! A client of the gRPC API and nothing else, so that it runs wherever that can be reached; it only ever reads. What it
//! shows is what the API lets somebody see: whoever signed in, each over a line of their own; or, where nobody is asked,
//! the one identity of its line, and then it is served on loopback alone, under names of loopback alone. Pages are made here and are whole without a script; the script only replaces what changed.
//! Promises: how a policy stands and whether a cluster is heard are never one mark; a silent cluster is hatched, has its
//! age, and is never green; every page says as of when it is, and that it is not live any more once it is not.

mod activity;
mod clusters;
mod feed;
mod incoming;
mod line;
mod live;
mod login;
mod pace;
mod page;
mod palette;
mod plot;
mod route;
mod serve;
mod source;
mod spread;
mod squares;
mod told;
mod viewer;
mod when;
mod words;

pub use incoming::Certificates;
pub use line::Line;
pub use login::{Issuer, Login, NoOrigin, Origin};
pub use serve::{Bound, Error, Options, bind};
