//! The subscriber as an executable of its own, for images.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(
    version,
    about = "Applies the access policy of a fleet to this cluster"
)]
struct Cli {
    #[command(flatten)]
    args: writ_subscriber::args::Args,
}

// One thread: the work is waiting for answers, and each more thread has a heap of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match writ_subscriber::run::run_logged(Cli::parse().args).await {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
