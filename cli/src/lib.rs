//! The command line of Writ.
//!
//! Owns what a person types and reads. Knows only the gRPC API: it holds no keys, talks to no bus
//! and to no cluster (`import` has kubectl do that). With the feature `sandbox` it also starts a whole fleet on one machine
//! (`fleet`), from the other crates.

use std::io;
use std::process::ExitCode;

mod apply;
mod approve;
mod args;
mod audit;
mod cluster;
mod connect;
mod console;
mod dashboard;
mod delete;
mod diff;
mod edits;
mod enforce;
mod error;
mod events;
mod exit;
mod explain;
#[cfg(feature = "sandbox")]
mod fleet;
mod fleets;
mod follow;
mod get;
mod guards;
mod history;
mod import;
mod input;
mod interrupt;
mod login;
mod output;
mod render;
mod rollback;
mod send;
mod status;
mod stream;
mod submit;
mod tokens;
mod trace;
mod wait;
mod whoami;
mod why;

pub use args::Cli;
pub use console::Console;
pub use error::{Answer, Error, Violation};
pub use exit::Exit;
pub use input::{Place, Problem};
pub use interrupt::{Interrupt, never as never_interrupted};

use args::Command;

/// The most problems that are printed one by one; a wrong folder should not flood a terminal.
const PROBLEMS_SHOWN_MAX: usize = 50;

/// The whole process: parses the command line, runs it, and says how it ended.
pub fn main() -> ExitCode {
    #[cfg(feature = "sandbox")]
    if let Some(code) = fleet::before_runtime() {
        return code;
    }
    let cli = <Cli as clap::Parser>::parse();
    let mut console = Console::from_process();
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let exit = runtime.block_on(async {
                let interrupt = interrupt::from_signals();
                run(cli, &mut io::stdin(), &mut console, interrupt).await
            });
            // What still runs has nothing left to say; a read of standard input would hold the
            // process.
            runtime.shutdown_background();
            exit.into()
        }
        Err(error) => {
            console.tell(format!("error: the runtime did not start: {error}"));
            Exit::Failed.into()
        }
    }
}

/// Runs one command. Errors are told on the console's standard error.
pub async fn run(
    cli: Cli,
    stdin: &mut (dyn io::Read + Send),
    console: &mut Console,
    interrupt: Interrupt,
) -> Exit {
    // On the heap: the states of all commands together are large.
    let outcome = Box::pin(dispatch(cli, stdin, console, &interrupt)).await;
    let outcome = match (outcome, console.out_error()) {
        (Ok(_), Some(error)) => Err(Error::Output(error)),
        (outcome, _) => outcome,
    };
    match outcome {
        Ok(exit) => exit,
        Err(error) => {
            tell(&error, console);
            error.exit()
        }
    }
}

async fn dispatch(
    cli: Cli,
    stdin: &mut (dyn io::Read + Send),
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let global = &cli.global;
    match cli.command {
        Command::Apply(args) => apply::run(args, global, stdin, console, interrupt).await,
        Command::Get(args) => get::run(args, global, console, interrupt).await,
        Command::Status(args) => status::run(args, global, console, interrupt).await,
        Command::Events(args) => events::run(args, global, console, interrupt).await,
        Command::Wait(args) => wait::run(args, global, console, interrupt).await,
        Command::Why(args) => why::run(args, global, console, interrupt).await,
        Command::Explain(args) => explain::run(&args, console),
        Command::Cluster(args) => cluster::run(args, global, console, interrupt).await,
        Command::History(args) => history::run(args, global, console, interrupt).await,
        Command::Diff(args) => diff::run(args, global, console, interrupt).await,
        Command::Rollback(args) => Box::pin(rollback::run(args, global, console, interrupt)).await,
        Command::Render(args) => render::run(args, global, console, interrupt).await,
        Command::Import(args) => import::run(args, console, interrupt).await,
        Command::Login(args) => login::login(&args, global, console, interrupt).await,
        Command::Logout => login::logout(global, console),
        Command::Whoami(args) => whoami::run(&args, global, console, interrupt).await,
        Command::Token(command) => tokens::run(&command, global, console, interrupt).await,
        Command::Audit(command) => audit::run(&command, global, console, interrupt).await,
        Command::Fleets(command) => fleets::run(&command, global, console),
        Command::Dashboard(args) => dashboard::run(&args, global, console, interrupt).await,
        Command::Delete(args) => delete::run(args, global, console, interrupt).await,
        Command::Approve(args) => approve::run(args, global, console, interrupt).await,
        Command::Reject(args) => approve::reject(args, global, console, interrupt).await,
        Command::Version => {
            console.say(format!("writ {}", env!("CARGO_PKG_VERSION")));
            Ok(Exit::Done)
        }
        #[cfg(feature = "sandbox")]
        Command::Fleet(command) => Box::pin(fleet::run(command, global, console, interrupt)).await,
    }
}

fn tell(error: &Error, console: &mut Console) {
    if let Error::Input { problems, .. } = error {
        for problem in problems.iter().take(PROBLEMS_SHOWN_MAX) {
            console.tell(problem.to_string());
        }
        if problems.len() > PROBLEMS_SHOWN_MAX {
            console.tell(format!(
                "… and {} more",
                problems.len() - PROBLEMS_SHOWN_MAX
            ));
        }
    }
    match error {
        // What the person wanted is no error.
        Error::Interrupted(_) => console.tell(error.explain()),
        _ => console.tell(format!("error: {}", error.explain())),
    }
}
