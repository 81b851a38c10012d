//! Desired × observed → plan: what has to happen in a cluster so that it holds one policy.
//!
//! Owns the inventory record that says what is ours, the marks that our objects carry, the
//! comparison with what is there, the order of the steps, and when a fight over an object is left
//! alone for a while. After [`plan`] nothing is left to decide: it cannot fail, and the same input
//! gives the same plan.
//! Never plans to touch what is not ours, and to delete a Namespace only where its policy said so.

mod build;
mod compare;
mod contention;
mod marks;
mod observed;
mod order;
mod owner;
mod reason;
mod record;
mod remove;
mod roles;
mod step;
#[cfg(test)]
mod tests;
mod wait;

pub use build::{Limits, OnDrift, Wanted, content_hash, plan};
pub use compare::{contains, holds};
pub use contention::{
    BACKOFF_MAX_MS, BACKOFF_MIN_MS, Contention, PUT_BACKS_MAX, QUIET_MS, WINDOW_MS,
};
pub use marks::{
    ADOPTABLE, FIELD_MANAGER, MANAGED, MANAGED_BY, POLICY, RELEASED, REMOVAL, is_deletable, marked,
    released_value, remarked,
};
pub use observed::{NamespaceState, Observed, ObservedObject};
pub use order::Phase;
pub use reason::Reason;
pub use record::{InventoryItem, Record};
pub use roles::role_of;
pub use step::{Action, Change, Held, Kept, Plan, Step, Wave, temporary_reference};
