//! `writ recover` as a program of its own, for images without the command line.

use std::process::ExitCode;

use clap::Parser as _;

/// Rebuilds a log that was lost or restored
#[derive(clap::Parser)]
#[command(name = "writ-recover", version)]
struct Command {
    #[command(flatten)]
    args: writ_publisher::recover::Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Command::parse().args;
    args.start_log();
    writ_publisher::recover::run_to_exit(args).await
}
