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
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    Ok(writ_subscriber::run::run(Cli::parse().args).await?)
}
