//! What became of the edits of one command.
//!
//! Owns the ledger that `apply` and `delete` keep while they send, and how it is told: on standard
//! output what landed, as it lands; at the end of a run that stopped, exactly what did and what did
//! not. Then the waiting for the clusters.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use writ_proto::v1;

use crate::args::{EditOutput, Level, Waiting};
use crate::connect::Fleet;
use crate::console::Console;
use crate::error::{Answer, Error};
use crate::exit::Exit;
use crate::follow::{self, Goal, GoalLevel, Outcome};
use crate::guards::tell_reach;
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::output::json::{Document, Edit, Edits, Revision};
use crate::output::status;

/// What became of an edit.
#[derive(Debug, Clone)]
pub(crate) enum State {
    NotSent,
    /// Sent, and not answered.
    Sent,
    /// In the log, or in force already: the word for it, and the publisher's answer.
    Landed(&'static str, v1::EditResponse),
    Failed(Answer),
}

impl State {
    /// Whether it is not in the log.
    fn is_refused(&self) -> bool {
        matches!(self, State::Failed(answer) if !answer.is_uncertain)
    }

    /// Whether nobody knows.
    fn is_open(&self) -> bool {
        match self {
            State::Sent => true,
            State::Failed(answer) => answer.is_uncertain,
            State::NotSent | State::Landed(..) => false,
        }
    }
}

/// One edit of the command.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Where it stood in the input; none for a deletion.
    pub(crate) place: Option<String>,
    pub(crate) state: State,
    /// What the clusters said, where that was waited for.
    waited: Option<Outcome>,
}

impl Entry {
    pub(crate) fn new(kind: Kind, name: &str, place: Option<String>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            place,
            state: State::NotSent,
            waited: None,
        }
    }

    fn reference(&self) -> String {
        format!("{}/{}", self.kind.prefix(), self.name)
    }

    fn title(&self) -> String {
        match &self.place {
            Some(place) => format!("{place} ({} {})", self.kind, self.name),
            None => self.reference(),
        }
    }
}

/// All edits of the command, in the order in which they are sent.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    /// Entries that were told: answers come in any order and are told in that of the entries.
    told: usize,
    dry_run: bool,
    output: Option<EditOutput>,
}

impl Ledger {
    pub(crate) fn new(entries: Vec<Entry>, dry_run: bool, output: Option<EditOutput>) -> Self {
        Self {
            entries,
            told: 0,
            dry_run,
            output,
        }
    }

    /// Notes an answer, and says all that have no open one before them.
    pub(crate) fn land(
        &mut self,
        index: usize,
        word: &'static str,
        response: v1::EditResponse,
        console: &mut Console,
    ) {
        self.entries[index].state = State::Landed(word, response);
        while let Some(entry) = self.entries.get(self.told)
            && matches!(entry.state, State::Landed(..))
        {
            self.say(entry, console);
            self.told += 1;
        }
    }

    /// Says the rest of what landed, past those that are open or failed.
    fn say_rest(&mut self, console: &mut Console) {
        for entry in &self.entries[self.told..] {
            self.say(entry, console);
        }
        self.told = self.entries.len();
    }

    /// Says one entry, if it landed.
    fn say(&self, entry: &Entry, console: &mut Console) {
        let State::Landed(word, response) = &entry.state else {
            return;
        };
        let reference = match response.generation {
            0 => entry.reference(),
            generation if response.proposed => format!("proposal/{}@{generation}", entry.name),
            generation => format!("{}@{generation}", entry.reference()),
        };
        match self.output {
            Some(EditOutput::Json) => return,
            Some(EditOutput::Name) => console.say(reference),
            None if self.dry_run => console.say(format!("{reference} {word} (dry run)")),
            None => console.say(format!("{reference} {word}")),
        }
        for notice in &response.notices {
            console.tell(format!(
                "note: {}: {}: {}",
                entry.title(),
                notice.field,
                notice.message
            ));
        }
        tell_reach(&entry.reference(), response, console);
        if !response.unknown_clusters.is_empty() {
            let names = response.unknown_clusters.join(", ");
            console.tell(format!(
                "note: {}: not in the registry (yet): {names}",
                entry.title()
            ));
        }
    }

    /// How many landed, and what became of the others.
    fn account(&self) -> String {
        let count = |fits: fn(&State) -> bool| {
            let fitting = self.entries.iter().filter(|entry| fits(&entry.state));
            fitting.count()
        };
        let landed = count(|state| matches!(state, State::Landed(..)));
        let mut text = format!("{landed} of {} documents landed", self.entries.len());
        let rest = [
            (count(State::is_refused), "did not"),
            (count(State::is_open), "not known"),
            (count(|state| matches!(state, State::NotSent)), "not sent"),
        ];
        for (number, word) in rest.into_iter().filter(|(number, _)| *number > 0) {
            text.push_str(&format!(", {number} {word}"));
        }
        text
    }

    /// Says what landed and what did not, after a run that stopped at `answer`.
    pub(crate) fn stop(&mut self, answer: Answer, console: &mut Console) -> Error {
        self.say_rest(console);
        self.tell_rest(console);
        Error::Partial {
            account: self.account(),
            answer,
        }
    }

    /// The same after Ctrl-C.
    pub(crate) fn interrupt(&mut self, console: &mut Console) -> Error {
        self.say_rest(console);
        self.tell_rest(console);
        let is_begun = |entry: &Entry| !matches!(entry.state, State::NotSent);
        if !self.entries.iter().any(is_begun) {
            return Error::Interrupted("; nothing was sent");
        }
        if self.entries.len() > 1 {
            console.tell(self.account());
        }
        Error::Interrupted("; what landed stands")
    }

    fn tell_rest(&self, console: &mut Console) {
        for entry in &self.entries {
            let title = entry.title();
            match &entry.state {
                State::Landed(word, response) => {
                    console.tell(format!(
                        "landed:      {title}: {word}, generation {}",
                        response.generation
                    ));
                }
                State::Failed(answer) if answer.is_uncertain => {
                    console.tell(format!(
                        "not known:   {title}: {answer}; doing it again is safe"
                    ));
                }
                State::Failed(answer) => console.tell(format!("not landed:  {title}: {answer}")),
                State::Sent => console.tell(format!(
                    "not known:   {title}: sent, and not answered; doing it again is safe"
                )),
                State::NotSent => console.tell(format!("not sent:    {title}")),
            }
        }
    }

    /// The JSON of it all, where that is wanted.
    pub(crate) fn finish(&self, console: &mut Console) {
        if self.output == Some(EditOutput::Json) {
            let items = self.entries.iter().map(edit).collect();
            console.say(
                Document::new(
                    "EditList",
                    Edits {
                        dry_run: self.dry_run,
                        items,
                    },
                )
                .pretty(),
            );
        }
    }

    /// Waits for the clusters of the policies that landed.
    pub(crate) async fn wait(
        &mut self,
        fleet: &Fleet,
        waiting: &Waiting,
        interrupt: &Interrupt,
        console: &mut Console,
    ) -> Result<Exit, Error> {
        let Some(level) = waiting.wait else {
            return Ok(Exit::Done);
        };
        let level = match level {
            Level::Received => GoalLevel::Received,
            Level::Applied => GoalLevel::Applied,
        };
        let goal = Goal {
            level,
            allow_silent: waiting.allow_silent,
        };
        let subjects: Vec<_> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| match &entry.state {
                State::Landed(_, response) if entry.kind == Kind::ClusterPolicy => {
                    let version = v1::PolicyVersion {
                        name: entry.name.clone(),
                        generation: response.generation,
                    };
                    Some((index, version, response.revision))
                }
                _ => None,
            })
            .collect();
        let versions = subjects
            .iter()
            .map(|(_, version, revision)| (version.clone(), *revision))
            .collect();
        let outcomes = unless(
            interrupt,
            all(fleet, versions, goal, waiting.timeout, console),
        )
        .await;
        console.progress_done();
        let outcomes = outcomes.ok_or(Error::Interrupted("; the edit stands"))??;
        let mut exit = Exit::Done;
        for ((index, ..), outcome) in subjects.into_iter().zip(outcomes) {
            exit = exit.worse(outcome.exit);
            if self.output.is_none() {
                tell_outcome(&self.entries[index].name, goal, &outcome, console);
            }
            self.entries[index].waited = Some(outcome);
        }
        Ok(exit)
    }
}

/// Policies whose status is followed at the same time: a quarter of what one publisher serves. What is
/// decided by the time that its turn comes is seen at once.
const FOLLOWED_AT_ONCE: usize = 64;

/// Waits for several policies, up to one common end.
pub(crate) async fn all(
    fleet: &Fleet,
    versions: Vec<(v1::PolicyVersion, Option<v1::Revision>)>,
    goal: Goal,
    timeout: Duration,
    console: &mut Console,
) -> Result<Vec<Outcome>, Error> {
    let console = std::cell::RefCell::new(console);
    let seen = |policy: &v1::PolicyStatus| {
        let line = format!(
            "{}@{}: {}",
            policy.policy,
            policy.generation,
            status::counts(policy)
        );
        console.borrow_mut().progress(&line);
    };
    let deadline = Instant::now() + timeout;
    let follow =
        |(version, revision)| follow::until(fleet, version, revision, goal, deadline, seen);
    stream::iter(versions)
        .map(follow)
        .buffered(FOLLOWED_AT_ONCE)
        .try_collect()
        .await
}

/// One line on how waiting ended, and who is missing.
pub(crate) fn tell_outcome(name: &str, goal: Goal, outcome: &Outcome, console: &mut Console) {
    let Some(policy) = &outcome.status else {
        return console.say(format!("clusterpolicy/{name} no status in time"));
    };
    let word = match (outcome.exit, goal.level) {
        (Exit::Done, GoalLevel::Received) => "received",
        (Exit::Done, GoalLevel::Applied) if policy.deleted => "gone",
        (Exit::Done, GoalLevel::Deleted) => "gone",
        (Exit::Done, _) => "applied",
        (Exit::Refused, _) => "refused",
        (Exit::Silent, _) => "incomplete",
        _ => "pending",
    };
    console.say(format!(
        "clusterpolicy/{}@{} {word}: {}",
        policy.policy,
        policy.generation,
        status::counts(policy)
    ));
    for line in status::missing(policy) {
        console.tell(format!("  {line}"));
    }
}

fn edit(entry: &Entry) -> Edit {
    let mut edit = Edit {
        kind: entry.kind.as_str(),
        name: entry.name.clone(),
        outcome: "notSent",
        generation: None,
        revision: None,
        target_count: None,
        losing_subject_count: None,
        confirm_number: None,
        request_id: None,
        place: entry.place.clone(),
        error: None,
        notices: Vec::new(),
        unknown_clusters: Vec::new(),
        status: entry
            .waited
            .as_ref()
            .and_then(|outcome| outcome.status.as_ref())
            .map(status::policy_value),
    };
    match &entry.state {
        State::NotSent => {}
        State::Sent => edit.outcome = "unknown",
        State::Failed(answer) => {
            edit.outcome = if answer.is_uncertain {
                "unknown"
            } else {
                "failed"
            };
            edit.error = Some(answer.to_string());
        }
        State::Landed(word, response) => {
            edit.outcome = word;
            edit.generation = Some(response.generation).filter(|generation| *generation > 0);
            edit.revision = Revision::from_proto(response.revision.as_ref());
            edit.target_count = Some(response.target_count);
            edit.losing_subject_count = Some(response.losing_subject_count);
            edit.confirm_number = Some(response.confirm_number).filter(|number| *number > 0);
            edit.request_id = Some(response.request_id.clone()).filter(|id| !id.is_empty());
            edit.notices = response
                .notices
                .iter()
                .map(|notice| format!("{}: {}", notice.field, notice.message))
                .collect();
            edit.unknown_clusters = response.unknown_clusters.clone();
        }
    }
    edit
}
