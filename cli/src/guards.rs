//! What an edit's guards ask of who makes it: a number to repeat, a second person.
//!
//! Owns the options that answer them, and what is told of an edit's reach. Promises that nothing is sent
//! while a guard that the dry run told of is unanswered, and that the number is the one that was told:
//! a number that fits everything confirms nothing.

use std::time::Duration;

use writ_proto::v1;

use crate::args::parse_duration;
use crate::console::Console;
use crate::error::Error;

/// Answers to the guards of an edit.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Guards {
    /// Repeat the number that a guard asked for (of several edits the largest): the clusters that are
    /// reached, or the subjects that lose access.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) confirm: Option<u32>,
    /// Store the edit as a proposal, which somebody else approves (`writ approve`); policies only.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) propose: bool,
    /// With --propose: after what time nobody can approve it any more; a week, if it is not said.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION", requires = "propose")]
    pub(crate) expires: Option<Duration>,
    /// Break-glass administrators only, with --reason: do it in spite of the guards. It is told loudly.
    #[arg(long, requires = "reason")]
    pub(crate) override_guards: bool,
}

impl Guards {
    pub(crate) fn confirm(&self) -> u32 {
        self.confirm.unwrap_or(0)
    }

    /// After how many seconds a proposal expires; 0: the publisher's own time.
    pub(crate) fn expires_after_s(&self) -> u32 {
        let seconds = self.expires.map_or(0, |time| time.as_secs().max(1));
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// Whether the dry runs left a guard unanswered. They were made without the number, so that each
    /// tells its own.
    pub(crate) fn check<'a>(
        &self,
        checked: impl IntoIterator<Item = (String, &'a v1::EditResponse)>,
    ) -> Result<(), Error> {
        let mut asked = Vec::new();
        let mut number = 0;
        for (title, response) in checked {
            if response.confirm_number > 0 {
                number = number.max(response.confirm_number);
                let reasons = response.confirm_reasons.join(", and ");
                asked.push(format!("{title}: {reasons}"));
            }
            if !response.approval_stage.is_empty() && !self.propose {
                return Err(Error::Guarded(format!(
                    "{title} goes to stage {}, whose rules ask for a second person: nothing was stored; use --propose, and have somebody else run `writ approve`",
                    response.approval_stage
                )));
            }
        }
        match (number, self.confirm) {
            (0, _) => Ok(()),
            (number, Some(given)) if given == number => Ok(()),
            (number, given) => {
                let given = given.map_or_else(String::new, |given| format!(", not {given}"));
                Err(Error::Guarded(format!(
                    "{}; nothing was stored. If that is meant: --confirm {number}{given}",
                    asked.join("; ")
                )))
            }
        }
    }
}

/// Says what an edit does to the fleet, where there is something to say.
pub(crate) fn tell_reach(title: &str, response: &v1::EditResponse, console: &mut Console) {
    let (clusters, losing) = (response.target_count, response.losing_subject_count);
    if losing > 0 || response.confirm_number > 0 {
        console.tell(format!(
            "note: {title}: reaches {}, {} access",
            counted(clusters, "cluster", "clusters"),
            match losing {
                1 => "1 subject loses".to_owned(),
                n => format!("{n} subjects lose"),
            }
        ));
    }
    for what in &response.overridden {
        console.tell(format!("WARNING: {title}: overridden: {what}"));
    }
    if response.dry_run && response.confirm_number > 0 {
        console.tell(format!(
            "note: {title}: needs --confirm {}: {}",
            response.confirm_number,
            response.confirm_reasons.join(", and ")
        ));
    }
    if response.dry_run && !response.approval_stage.is_empty() {
        console.tell(format!(
            "note: {title}: stage {} asks for a second person: --propose",
            response.approval_stage
        ));
    }
}

fn counted(number: u32, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn guards(confirm: Option<u32>, propose: bool) -> Guards {
        Guards {
            confirm,
            propose,
            expires: None,
            override_guards: false,
        }
    }

    fn asks(number: u32, stage: &str) -> v1::EditResponse {
        v1::EditResponse {
            confirm_number: number,
            confirm_reasons: vec![format!(
                "it reaches {number} clusters of stage prod (more than 25)"
            )],
            approval_stage: stage.to_owned(),
            ..v1::EditResponse::default()
        }
    }

    fn check(guards: &Guards, responses: &[v1::EditResponse]) -> Result<(), String> {
        let named = responses
            .iter()
            .map(|of| ("clusterpolicy/p".to_owned(), of));
        guards.check(named).map_err(|error| {
            assert_eq!(error.exit(), Exit::Guarded);
            error.explain()
        })
    }

    #[test]
    fn the_number_is_the_largest_that_was_asked_for_and_no_other() {
        let asked = [asks(26, ""), asks(41, ""), v1::EditResponse::default()];
        assert_eq!(check(&guards(Some(41), false), &asked), Ok(()));
        let said = check(&guards(None, false), &asked).unwrap_err();
        assert!(said.ends_with("If that is meant: --confirm 41"), "{said}");
        for wrong in [26, 40, 42, 100_000] {
            let said = check(&guards(Some(wrong), false), &asked).unwrap_err();
            assert!(
                said.ends_with(&format!("--confirm 41, not {wrong}")),
                "{said}"
            );
        }
        assert_eq!(
            check(&guards(Some(5), false), &[v1::EditResponse::default()]),
            Ok(())
        );
    }

    #[test]
    fn a_second_person_is_asked_for_until_it_is_proposed() {
        let asked = [asks(0, "prod")];
        let said = check(&guards(None, false), &asked).unwrap_err();
        assert!(
            said.contains("stage prod") && said.contains("--propose"),
            "{said}"
        );
        assert_eq!(check(&guards(None, true), &asked), Ok(()));
    }
}
