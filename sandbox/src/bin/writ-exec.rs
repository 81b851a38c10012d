//! `writ-exec [--session] PROGRAM ARGS…`: ties a program to the life of its parent, then
//! becomes it. `writ __exec` does the same; this is for test processes.

use std::process::ExitCode;

fn main() -> ExitCode {
    let error = writ_sandbox::process::wrapper::run(std::env::args_os().skip(1));
    eprintln!("writ-exec: {error}");
    ExitCode::FAILURE
}
