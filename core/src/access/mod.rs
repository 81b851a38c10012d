//! Who may edit what: identities, access rules, and what they let somebody do.
//!
//! Owns the words by which publishers judge a call. Promises that a judgement rests on its arguments
//! alone. Never checks a credential: who calls is established at the edge.

mod decide;
mod grant;
mod identity;
mod impact;
mod rule;
mod stage;
#[cfg(test)]
mod tests;
mod token;

pub use decide::{Action, Administrators, Denied, Rights};
pub use identity::{ADMINISTRATORS, Identity, Inlet};
pub use impact::{Confirm, Impact, Pair};
pub use rule::{ANY, AccessRule, AccessSubject, Bounds, GrantedRule, MayGrant, Prefixes, Role};
pub use stage::{
    CONFIRM_ABOVE_CLUSTERS, CONFIRM_ABOVE_SUBJECTS, NotApproved, Proposal, StageRules,
    needs_approval,
};
pub use token::ServiceToken;
