//! Desired × observed → plan: what has to happen in a cluster so that it holds one policy.
//!
//! Owns the inventory record that says what is ours, the marks that our objects carry, the
//! comparison with what is there, and the order of the steps. After [`plan`] nothing is left to
//! decide: it cannot fail, and the same input gives the same plan.
//! Never plans to touch what is not ours, and never to delete a Namespace.

mod build;
mod compare;
mod marks;
mod observed;
mod reason;
mod record;
mod step;
#[cfg(test)]
mod tests;

pub use build::{content_hash, plan};
pub use compare::contains;
pub use marks::{FIELD_MANAGER, MANAGED, MANAGED_BY, POLICY, RELEASED, marked, released_value};
pub use observed::{NamespaceState, Observed, ObservedObject};
pub use reason::Reason;
pub use record::{InventoryItem, Record};
pub use step::{Action, Held, Kept, Phase, Plan, Step, Wave, temporary_reference};
