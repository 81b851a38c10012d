//! The subscriber as an executable of its own, for images.

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
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WRIT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(writ_subscriber::LOG_FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    Ok(writ_subscriber::run::run(Cli::parse().args).await?)
}
