//! After a publisher's key was stolen: events that stand in the log and were never part of an edit.
//!
//! Whoever has the key and may write to the bus can store an event by itself, and clusters acted on it.
//! Its name, if nobody ever edited it, is said to be gone; a generation above that of the last edit, by
//! which the true content would look like less than what is there, is gone above.

use super::{
    Copy, Plan,
    plan::{Content, Item, Verdict},
};
use crate::{event::Body, revision::Generation};

impl Plan {
    /// Takes back what only events say. Answers how many names that changes.
    pub fn disown(&mut self, log: &Copy) -> usize {
        // Whoever has the key can sign a list that lacks what he wants to be gone.
        self.recovered = None;
        let mut changed = 0;
        for (key, events) in &log.events {
            let claimed = events.values().map(|event| event.generation).max();
            let claimed = claimed.unwrap_or_default();
            match self.items.iter_mut().find(|item| item.key == *key) {
                Some(item) if item.generation < claimed => {
                    changed += 1;
                    item.outdo(claimed);
                }
                Some(_) => {}
                None => {
                    changed += 1;
                    self.items.push(Item {
                        key: key.clone(),
                        verdict: Verdict::Gone,
                        generation: next(claimed),
                        in_log: None,
                        holders: Default::default(),
                        note: "only an event says it, and no edit".to_owned(),
                        content: Content::Gone,
                        intent: None,
                        feeds: events.keys().cloned().collect(),
                    });
                }
            }
        }
        self.items.sort_by(|a, b| a.key.cmp(&b.key));
        changed
    }
}

impl Item {
    /// The same content, above a generation.
    fn outdo(&mut self, claimed: Generation) {
        self.generation = next(claimed);
        self.note = format!("an event that is of no edit claims @{claimed}");
        if let Some(intent) = &mut self.intent {
            intent.generation = self.generation;
        }
        // The body names the generation; one that this build can't read stays as it is.
        let (kind, name) = self.key.clone();
        if let Content::Put { body, .. } = &mut self.content
            && let Some(kind) = kind.feed_kind()
            && let Ok(mut read) = serde_json::from_slice::<serde_json::Value>(body)
        {
            let object = read["object"].take();
            *body = Body::new(kind, name, self.generation, object).encode();
        }
    }
}

fn next(generation: Generation) -> Generation {
    Generation(generation.0.saturating_add(1))
}
