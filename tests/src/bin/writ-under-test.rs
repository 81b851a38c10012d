//! `writ` under a name that Cargo gives to the tests of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    writ::main()
}
