//! Who looks: what they may see, and what is said of them on every page.
//!
//! Promises that all of a page is made over the line of the one who looks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use maud::{Markup, html};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};
use writ_proto::v1;

use crate::{
    feed::Fleet,
    line::{Line, Refusal},
    source::Source,
};

/// How long it is believed who somebody is and what they may see; their rights may change at any time.
const WHO_AGE_MAX: Duration = Duration::from_secs(60);

/// How long a page waits for that.
const WHO_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a page waits for the first words of a feed that was just opened.
const FIRST_WORDS_TIME_MAX: Duration = Duration::from_secs(3);

/// The inlet of those who were not asked.
const UNASKED: &str = "dashboard";

/// Somebody who looks. Clones share everything.
#[derive(Clone)]
pub(crate) struct Viewer {
    pub(crate) source: Source,
    pub(crate) fleet: watch::Receiver<Arc<Fleet>>,
    /// What the form by which they sign out holds; nothing where nobody signs in.
    form_word: Option<String>,
    who: Arc<Mutex<Option<(Instant, v1::WhoAmIResponse)>>>,
}

/// What a page says of the one who looks.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) who: Option<v1::WhoAmIResponse>,
    pub(crate) refusal: Option<Refusal>,
    form_word: Option<String>,
}

impl Viewer {
    pub(crate) fn new(
        line: Line,
        fleet: watch::Receiver<Arc<Fleet>>,
        form_word: Option<String>,
    ) -> Viewer {
        Viewer {
            form_word,
            source: Source(line),
            fleet,
            who: Arc::default(),
        }
    }

    /// Waits until there is something to show, or until it is said why not.
    pub(crate) async fn ready(&self) {
        let (mut fleet, mut refusal) = (self.fleet.clone(), self.source.0.refusal());
        let either = async {
            tokio::select! {
                _ = fleet.wait_for(|fleet| fleet.is_whole()) => {}
                _ = refusal.wait_for(Option::is_some) => {}
            }
        };
        // What is not there by then comes over the page's stream.
        let _ = timeout(FIRST_WORDS_TIME_MAX, either).await;
    }

    /// The fleet as they may see it now: nothing of it where the API lets them see nothing any more.
    pub(crate) fn now(&self) -> Arc<Fleet> {
        let refusal = self.source.0.refusal();
        let is_barred = refusal.borrow().as_ref().is_some_and(|of| !of.is_unknown);
        match is_barred {
            true => Arc::default(),
            false => self.fleet.borrow().clone(),
        }
    }

    /// Whether anybody but its keeper has it.
    pub(crate) fn is_watched(&self) -> bool {
        Arc::strong_count(&self.who) > 1
    }

    pub(crate) async fn about(&self) -> About {
        About {
            form_word: self.form_word.clone(),
            who: self.who().await,
            refusal: self.source.0.refusal().borrow().clone(),
        }
    }

    async fn who(&self) -> Option<v1::WhoAmIResponse> {
        let mut known = self.who.lock().await;
        if let Some((since, who)) = &*known
            && since.elapsed() < WHO_AGE_MAX
        {
            return Some(who.clone());
        }
        let asked = timeout(WHO_TIME_MAX, self.source.who()).await;
        if let Ok(Ok(who)) = asked {
            *known = Some((Instant::now(), who));
        }
        // While nobody can say it, what was said last.
        known.as_ref().map(|(_, who)| who.clone())
    }
}

impl About {
    /// Who looks, and what bounds what they see.
    pub(crate) fn line(&self) -> Markup {
        let Some(who) = &self.who else {
            return html! {};
        };
        let sees_all = who
            .roles
            .iter()
            .any(|role| role.ends_with("of the whole fleet"));
        html! {
            @if who.inlet == UNASKED {
                span.who title="whoever reaches this page sees the whole fleet" { "no sign-in" }
            } @else {
                span.who title={"groups: " (list(&who.groups))} { (who.inlet) ":" (who.user) }
            }
            @if !sees_all && !who.roles.is_empty() {
                span.who-bounds { "you see a part of the fleet: " (who.roles.join(" · ")) }
            }
            @if let Some(word) = &self.form_word {
                form method="post" action="/sign-out" {
                    input type="hidden" name="form" value=(word);
                    button type="submit" { "Sign out" }
                }
            }
        }
    }

    /// Why nothing is shown, if so.
    pub(crate) fn alarm(&self) -> Markup {
        html! {
            @if let Some(refusal) = &self.refusal {
                p.refused role="alert" {
                    @if refusal.is_unknown {
                        "What is shown is old: you are not signed in any more (" (refusal.message) "). "
                        // Where people sign in on the page itself, it leads them there.
                        @if self.form_word.is_none() { code { "writ login" } ", or another token in its file: this page goes on by itself." }
                    } @else {
                        "There is nothing to show: " (refusal.message)
                    }
                }
            }
        }
    }
}

fn list(words: &[String]) -> String {
    match words.is_empty() {
        true => "none".to_owned(),
        false => words.join(", "),
    }
}
