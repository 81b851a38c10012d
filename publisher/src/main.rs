//! The publisher as a program of its own.

use std::process::ExitCode;

use clap::Parser as _;

/// Takes edits of policies and clusters, and carries them to the fleet
#[derive(clap::Parser)]
#[command(name = "writ-publisher", version)]
struct Command {
    #[command(flatten)]
    args: writ_publisher::Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    match writ_publisher::run_logged(Command::parse().args).await {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
