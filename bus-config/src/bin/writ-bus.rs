//! `writ-bus`: makes the keys of a bus, its users and its servers' configurations.

use std::process::ExitCode;

use clap::Parser;

/// The keys of a bus, its users and its servers' configurations.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: writ_bus::tool::Command,
}

fn main() -> ExitCode {
    match writ_bus::tool::run(Cli::parse().command) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
                error.source()
            });
            let text: Vec<String> = causes.map(ToString::to_string).collect();
            eprintln!("error: {}", text.join(": "));
            ExitCode::FAILURE
        }
    }
}
