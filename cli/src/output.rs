//! What people and scripts read.
//!
//! Owns tables, the JSON that scripts lean on, and the words for revisions, ages and states. Pure:
//! it is given the answer, the time zone and whether colours are wanted, and gives text.

pub(crate) mod diff;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod json;
pub(crate) mod past;
pub(crate) mod policies;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod why;
pub(crate) mod words;
