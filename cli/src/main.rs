//! `writ`, the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    writ::main()
}
