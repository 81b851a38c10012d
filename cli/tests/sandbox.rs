//! `writ sandbox up` and `down` with real parts: the folder that people and scripts use, and
//! that nothing is left, however the sandbox ends.
#![cfg(feature = "sandbox")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// An idle machine needs 10 s; this is for one that does much else.
const LIMIT: Duration = Duration::from_secs(300);

fn writ(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_writ"))
        .args(args)
        .output()
        .unwrap()
}

/// Runs a line with the sandbox's `env` sourced, as a person does.
fn shell(folder: &Path, line: &str) -> String {
    let script = format!(". '{}/env' && {line}", folder.display());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn up(folder: &Path) -> Output {
    let dir = folder.to_str().unwrap();
    writ(&[
        "sandbox",
        "up",
        "--regions=eu",
        "--stages=prod",
        "--detach",
        "--dir",
        dir,
    ])
}

/// The processes whose command line names the folder; every part of the sandbox does.
fn processes(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains(folder))
        .map(|line| line.replace('\0', " ").chars().take(120).collect())
        .collect()
}

#[test]
fn a_detached_sandbox_serves_scripts_until_it_is_taken_down() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, dir) = (folder.path(), folder.path().to_str().unwrap());
    let started = up(folder);
    assert!(started.status.success(), "{started:?}");
    let said = String::from_utf8_lossy(&started.stdout).into_owned();
    assert!(
        said.contains("eu-prod-1") && said.contains("https://127.0.0.1:"),
        "{said}"
    );

    assert!(shell(folder, "writ get clusters -o name").contains("eu-prod-1"));
    assert_eq!(
        shell(folder, "kubectl config current-context").trim(),
        "eu-prod-1"
    );
    let definitions = shell(folder, "kubectl --context eu-prod-1 get crds -o name");
    assert!(
        definitions.contains("clusterpolicies.writ.dev"),
        "{definitions}"
    );

    let again = up(folder);
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("another sandbox runs"), "{said}");

    let ended = writ(&["sandbox", "down", "--dir", dir]);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(processes(folder), [""; 0]);
    let again = writ(&["sandbox", "down", "--dir", dir]);
    assert!(
        again.status.success(),
        "nothing to end is no failure: {again:?}"
    );
}

#[test]
fn killing_a_detached_sandbox_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let started = up(folder);
    assert!(started.status.success(), "{started:?}");
    assert!(processes(folder).len() > 5, "{:?}", processes(folder));
    let lock = std::fs::read_to_string(folder.join("lock")).unwrap();
    let holder: serde_json::Value = serde_json::from_str(&lock).unwrap();
    let killed = Command::new("kill")
        .args(["-9", &holder["pid"].to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let begun = Instant::now();
    while !processes(folder).is_empty() {
        assert!(begun.elapsed() < LIMIT, "left: {:?}", processes(folder));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_folder_with_something_else_in_it_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.tex"), "…").unwrap();
    let refused = up(folder.path());
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("name an empty folder"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let down = writ(&["sandbox", "down", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(down.status.code(), Some(1), "{down:?}");
}
