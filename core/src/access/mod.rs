//! Who may edit what: identities, and what they may do.
//!
//! Owns the words by which publishers judge a call. Promises that a judgement rests on its arguments
//! alone. Never checks a credential: who calls is established at the edge.

mod identity;
mod rule;
mod token;

pub use identity::{ADMINISTRATORS, Identity, Inlet};
pub use rule::{ANY, AccessRule, AccessSubject, Bounds, GrantedRule, MayGrant, Prefixes, Role};
pub use token::ServiceToken;
