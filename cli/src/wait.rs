//! `wait`: until policies are on their clusters. The exit code says how it ended.

use writ_proto::v1;

use crate::args::{Global, Wait, WaitLevel};
use crate::connect;
use crate::console::Console;
use crate::edits::{all, tell_outcome};
use crate::error::Error;
use crate::exit::Exit;
use crate::follow::{Goal, GoalLevel};
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};

/// Runs the command.
pub(crate) async fn run(
    args: Wait,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let level = match args.level {
        WaitLevel::Received => GoalLevel::Received,
        WaitLevel::Applied => GoalLevel::Applied,
        WaitLevel::Deleted => GoalLevel::Deleted,
    };
    let goal = Goal {
        level,
        allow_silent: args.allow_silent,
    };
    let mut versions = Vec::new();
    for reference in &args.policies {
        let name = reference.expect(Kind::ClusterPolicy)?.to_owned();
        versions.push((
            v1::PolicyVersion {
                name,
                generation: reference.generation,
            },
            None,
        ));
    }
    let work = async {
        let fleet = connect::connect(global).await?;
        all(&fleet, versions, goal, args.timeout, console).await
    };
    let outcomes = unless(interrupt, work).await;
    console.progress_done();
    let outcomes = outcomes.ok_or(Error::Interrupted("; the edits stand"))??;
    let mut exit = Exit::Done;
    for (reference, outcome) in args.policies.iter().zip(&outcomes) {
        tell_outcome(&reference.name, goal, outcome, console);
        exit = exit.worse(outcome.exit);
    }
    Ok(exit)
}
