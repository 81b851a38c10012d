//! The simulator's command.

use std::process::ExitCode;

fn main() -> ExitCode {
    writ_tests::sim::command::main()
}
