//! The publisher as a program of its own.

use clap::Parser as _;

/// Takes edits of policies and clusters, and carries them to the fleet
#[derive(clap::Parser)]
#[command(name = "writ-publisher", version)]
struct Command {
    #[command(flatten)]
    args: writ_publisher::Args,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let args = Command::parse().args;
    let filter = tracing_subscriber::EnvFilter::try_from_env("WRIT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(writ_publisher::LOG_FILTER));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_writer(std::io::stderr).init();
    writ_publisher::run_to_exit(args).await
}
