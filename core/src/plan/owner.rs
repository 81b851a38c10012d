//! Whose an object is.
//!
//! The inventory says what we wrote, the mark says what the object itself shows; neither alone is
//! enough, because marks can be forged and names can be taken by another object.

use serde_json::Value;

use super::build::Limits;
use super::compare::holds;
use super::observed::ObservedObject;
use super::record::InventoryItem;
use crate::guard::{Guard, stands};
use crate::model::{Adopt, ObjectRef};
use crate::name::PolicyName;

/// Whose an object is that a policy wants to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    Us,
    Policy(&'a str),
    Foreign,
}

/// An object that was found, and what is known of it.
pub(super) struct Found<'a> {
    pub(super) policy: &'a PolicyName,
    pub(super) reference: &'a ObjectRef,
    /// The content that the policy wants, without our marks.
    pub(super) wanted: &'a Value,
    pub(super) item: Option<&'a InventoryItem>,
    pub(super) object: &'a ObservedObject,
}

impl<'a> Found<'a> {
    /// Whose it is, by the first of these that holds: it is the very object that we recorded;
    /// another policy's mark is on it; we were about to write it and it carries our mark; we
    /// recorded one of that name and this one says the same, so somebody restored it; Writ left it
    /// behind; policy and owner agree that it is taken over.
    pub(super) fn owner(&self, adopt: Adopt, limits: &Limits<'_>) -> Owner<'a> {
        let recorded = self.item.and_then(|item| item.uid.as_deref());
        match self.object.policy() {
            _ if recorded == Some(self.object.uid.as_str()) => Owner::Us,
            _ if !stands(Guard::Ownership) => Owner::Us,
            Some(mark) if mark != self.policy.as_str() => Owner::Policy(mark),
            Some(_) if self.item.is_some() => Owner::Us,
            _ if recorded.is_some() && self.says_the_same() => Owner::Us,
            None if self.object.is_released() => Owner::Us,
            _ if self.may_adopt(adopt, limits) => Owner::Us,
            _ => Owner::Foreign,
        }
    }

    fn may_adopt(&self, adopt: Adopt, limits: &Limits<'_>) -> bool {
        let asked = match adopt {
            Adopt::Never => false,
            Adopt::IfIdentical => self.says_the_same(),
            Adopt::Always => true,
        };
        asked && (self.object.is_adoptable() || (limits.adoptable)(self.reference))
    }

    /// What is missing for it to be taken over, where the policy asks for that.
    pub(super) fn why_foreign(&self, adopt: Adopt) -> &'static str {
        match adopt {
            Adopt::Never => "",
            Adopt::IfIdentical if !self.says_the_same() => {
                "; adopt: ifIdentical does not take it over, because it differs from what the policy says"
            }
            Adopt::IfIdentical | Adopt::Always => {
                "; it may be taken over once its owner marks it: writ.dev/adoptable: \"true\""
            }
        }
    }

    fn says_the_same(&self) -> bool {
        holds(self.reference, &self.object.content, self.wanted)
    }
}
