//! The two axes, each with a word, a glyph and a class: how a policy stands, and whether a cluster is heard.

use maud::{Markup, html};
use writ_proto::v1::{self, AckState};

/// How a policy, or all policies of a cluster, stand there: the cluster's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Refused,
    Drifted,
    Pending,
    /// Nobody knows any more: the cluster is silent and said nothing good of it before.
    Unknown,
    Observing,
    Applied,
    /// No policy is for it.
    Nothing,
}

impl State {
    pub(crate) const ALL: [State; 7] = [
        State::Refused,
        State::Drifted,
        State::Pending,
        State::Unknown,
        State::Observing,
        State::Applied,
        State::Nothing,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Refused => "refused",
            State::Drifted => "drifted",
            State::Pending => "pending",
            State::Unknown => "not known",
            State::Observing => "observing",
            State::Applied => "applied",
            State::Nothing => "no policy",
        }
    }

    pub(crate) fn glyph(self) -> &'static str {
        match self {
            State::Refused => "✕",
            State::Drifted => "≠",
            State::Pending => "◔",
            State::Unknown => "?",
            State::Observing => "◇",
            State::Applied => "✓",
            State::Nothing => "·",
        }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            State::Refused => "s-refused",
            State::Drifted => "s-drifted",
            State::Pending => "s-pending",
            State::Unknown => "s-unknown",
            State::Observing => "s-observing",
            State::Applied => "s-applied",
            State::Nothing => "s-nothing",
        }
    }

    /// Its colour in the palette.
    pub(crate) fn ink(self) -> &'static str {
        match self {
            State::Refused => "refused",
            State::Drifted => "drifted",
            State::Pending => "pending",
            State::Applied => "applied",
            State::Unknown | State::Observing | State::Nothing => "muted",
        }
    }

    /// Whether a person should look at it.
    pub(crate) fn needs_attention(self) -> bool {
        matches!(self, State::Refused | State::Drifted)
    }

    /// Glyph and word.
    pub(crate) fn mark(self) -> Markup {
        html! { span.mark.(self.class()) { span.glyph aria-hidden="true" { (self.glyph()) } " " (self.word()) } }
    }

    /// One policy on one cluster. What a silent cluster said last is kept, and shown with its silence beside.
    pub(crate) fn of(state: AckState, reason: &str, held: u64, wanted: u64) -> State {
        match (state, reason) {
            (AckState::Refused, "Drifted" | "Contended") => State::Drifted,
            (AckState::Refused, _) => State::Refused,
            (AckState::Applied, _) => State::Applied,
            (AckState::Silent, _) if held > 0 && held >= wanted => State::Applied,
            (AckState::Silent | AckState::Unspecified, _) => State::Unknown,
            (AckState::Pending, "Observing") => State::Observing,
            (AckState::Pending, _) => State::Pending,
        }
    }

    /// The same of a line that lists what is not applied.
    pub(crate) fn of_line(line: &v1::PolicyLine) -> State {
        State::of(
            line.state(),
            &line.reason,
            line.generation_held,
            line.generation,
        )
    }

    /// All policies of a cluster, by the worst of them; of a silent one by what it said last.
    pub(crate) fn of_cluster(line: &v1::FleetLine) -> State {
        if line.mode == "observe" {
            return State::Observing;
        }
        let counts = line.counts.unwrap_or_default();
        let is_silent = Life::of(line) == Life::Silent;
        let (refused, pending, applied) = match is_silent {
            true => (line.said_refused, line.said_pending, line.said_applied),
            false => (counts.refused, counts.pending, counts.applied),
        };
        let mut exceptions = line
            .exceptions
            .iter()
            .filter(|one| one.state() == AckState::Refused);
        let are_drifts =
            |one: &v1::PolicyLine| matches!(one.reason.as_str(), "Drifted" | "Contended");
        match (refused, pending, applied) {
            (0, 0, 0) if counts.target == 0 => State::Nothing,
            (0, 0, 0) => State::Unknown,
            (0, 0, _) => State::Applied,
            (0, _, _) => State::Pending,
            _ if !line.exceptions.is_empty() && exceptions.all(are_drifts) => State::Drifted,
            _ => State::Refused,
        }
    }
}

/// Whether a cluster is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// Two speak for it, so that nobody is heard.
    TwoVoices,
    Silent,
    Stale,
    /// Its keys are revoked.
    CutOff,
    /// It gives back what was applied there, and leaves.
    Draining,
    /// It waits to be let in.
    Waiting,
    /// Not heard yet.
    Unheard,
    Live,
}

impl Life {
    pub(crate) const ALL: [Life; 8] = [
        Life::TwoVoices,
        Life::Silent,
        Life::Stale,
        Life::CutOff,
        Life::Draining,
        Life::Waiting,
        Life::Unheard,
        Life::Live,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Life::TwoVoices => "two voices",
            Life::Silent => "silent",
            Life::Stale => "stale",
            Life::CutOff => "cut off",
            Life::Draining => "draining",
            Life::Waiting => "pending approval",
            Life::Unheard => "not heard yet",
            Life::Live => "live",
        }
    }

    pub(crate) fn glyph(self) -> &'static str {
        match self {
            Life::TwoVoices => "⑂",
            Life::Silent => "▨",
            Life::Stale => "◌",
            Life::CutOff => "⊘",
            Life::Draining => "↧",
            Life::Waiting => "⧖",
            Life::Unheard => "…",
            Life::Live => "●",
        }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Life::TwoVoices => "l-forked",
            Life::Silent => "l-silent",
            Life::Stale => "l-stale",
            Life::CutOff => "l-cut-off",
            Life::Draining => "l-draining",
            Life::Waiting => "l-waiting",
            Life::Unheard => "l-unheard",
            Life::Live => "l-live",
        }
    }

    /// Worst first. Nobody was heard yet right after a start, and what somebody decided is no alarm.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Life::Unheard | Life::CutOff | Life::Draining => Life::Live as u8,
            life => life as u8,
        }
    }

    /// Whether a person should look at it.
    pub(crate) fn needs_attention(self) -> bool {
        matches!(
            self,
            Life::TwoVoices | Life::Silent | Life::Stale | Life::Waiting
        )
    }

    /// Whether what it said last is shown as that alone.
    pub(crate) fn is_hatched(self) -> bool {
        matches!(self, Life::TwoVoices | Life::Silent)
    }

    /// How the map draws it.
    pub(crate) fn drawn(self) -> &'static str {
        match self {
            Life::TwoVoices | Life::Silent => "hatched",
            Life::CutOff | Life::Draining | Life::Waiting | Life::Unheard => "aside",
            Life::Stale => "stale",
            Life::Live => "live",
        }
    }

    pub(crate) fn of(line: &v1::FleetLine) -> Life {
        let heard = line.liveness.unwrap_or_default();
        Life::of_parts(&heard, line.stale, &line.forked, &line.phase)
    }

    /// What was decided about a cluster comes before what is heard of it.
    pub(crate) fn of_parts(
        heard: &v1::Liveness,
        is_stale: bool,
        forked: &str,
        phase: &str,
    ) -> Life {
        use v1::liveness::State as Heard;
        match heard.state() {
            _ if !forked.is_empty() => Life::TwoVoices,
            _ if phase == "cutOff" => Life::CutOff,
            _ if phase == "pending" => Life::Waiting,
            Heard::Live if phase == "draining" => Life::Draining,
            Heard::Silent => Life::Silent,
            Heard::Unspecified => Life::Unheard,
            Heard::Live if is_stale => Life::Stale,
            Heard::Live => Life::Live,
        }
    }

    /// Glyph and word, and for how long where it is silent.
    pub(crate) fn mark(self, age: Option<&str>) -> Markup {
        html! {
            span.mark.(self.class()) {
                span.glyph aria-hidden="true" { (self.glyph()) } " " (self.word())
                @if let (Life::Silent, Some(age)) = (self, age) { " for " (age) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(said: (u32, u32, u32), heard: v1::liveness::State) -> v1::FleetLine {
        v1::FleetLine {
            liveness: Some(v1::Liveness {
                state: heard.into(),
                ..Default::default()
            }),
            counts: Some(v1::Counts {
                target: 2,
                applied: said.0,
                ..Default::default()
            }),
            said_applied: said.0,
            said_pending: said.1,
            said_refused: said.2,
            ..Default::default()
        }
    }

    #[test]
    fn a_silent_cluster_keeps_its_last_word_and_is_never_only_that() {
        use v1::liveness::State as Heard;
        let silent = line((2, 0, 0), Heard::Silent);
        assert_eq!(State::of_cluster(&silent), State::Applied);
        assert_eq!(Life::of(&silent), Life::Silent);
        let silent = line((1, 0, 1), Heard::Silent);
        assert_eq!(State::of_cluster(&silent), State::Refused);
        let never = line((0, 0, 0), Heard::Silent);
        assert_eq!(State::of_cluster(&never), State::Unknown);
        assert_eq!(Life::of(&line((2, 0, 0), Heard::Live)), Life::Live);
        assert_eq!(
            Life::of(&line((2, 0, 0), Heard::Unspecified)),
            Life::Unheard
        );
    }

    #[test]
    fn no_two_states_share_a_word_a_glyph_or_a_class() {
        let words = State::ALL
            .map(State::word)
            .into_iter()
            .chain(Life::ALL.map(Life::word));
        let glyphs = State::ALL
            .map(State::glyph)
            .into_iter()
            .chain(Life::ALL.map(Life::glyph));
        let classes = State::ALL
            .map(State::class)
            .into_iter()
            .chain(Life::ALL.map(Life::class));
        for all in [
            words.collect::<Vec<_>>(),
            glyphs.collect(),
            classes.collect(),
        ] {
            let apart: std::collections::BTreeSet<&&str> = all.iter().collect();
            assert_eq!(apart.len(), all.len(), "{all:?}");
        }
    }
}
