//! The simulator without the rest of the tests: quicker to build.

use std::process::ExitCode;

fn main() -> ExitCode {
    writ_sim::command::main()
}
