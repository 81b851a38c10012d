//! No secret ever gets into a log, and every line of a log in the form `json` has the fields that are documented.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use data_encoding::BASE64;
use serde_json::Value;
use tokio::process::Command;
use writ_telemetry::log::FIELDS;

use crate::scene::{apply_in, writ_in};

/// Shorter texts are no secrets, and would be found anywhere.
const SECRET_LENGTH_MIN: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_fleet_is_in_any_log_when_everything_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    let up = Command::new(env!("CARGO_BIN_EXE_writ-under-test"))
        .args([
            "sandbox",
            "up",
            "--regions=eu",
            "--stages=prod",
            "--detach",
            "--dir",
        ])
        .arg(&dir)
        .env("WRIT_LOG", "trace")
        .env("WRIT_LOG_FORMAT", "json")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(up.status.success(), "{up:?}");
    let applied = apply_in(&dir, "logged", "get", "--wait --timeout 120s").await;
    let file = |name: &str| dir.join("keys").join(name).display().to_string();
    let rotate = format!(
        "keys rotate --signing-key-file '{}' --offline-key-file '{}'",
        file("publisher-1.signing"),
        file("offline.signing")
    );
    let mut before = secrets(&dir);
    before.extend(kept_in_the_cluster(&dir).await);
    let rotated = writ_in(&dir, &rotate).await;
    let mut secrets = [before, secrets(&dir)].concat();
    secrets.sort();
    secrets.dedup();
    let logs = files(&dir.join("logs"));
    let texts: Vec<(PathBuf, String)> = logs
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path, String::from_utf8_lossy(&bytes).into_owned())
        })
        .collect();
    let down = format!("sandbox down --dir '{}'", dir.display());
    let down = writ_in(&dir, &down).await;
    assert!(applied.status.success(), "{applied:?}");
    assert!(rotated.status.success(), "{rotated:?}");
    assert!(down.status.success(), "{down:?}");

    let is_trace = |name: &str| {
        let log = texts.iter().find(|(path, _)| path.ends_with(name));
        log.is_some_and(|(_, text)| text.contains("TRACE"))
    };
    assert!(is_trace("publisher-1.log") && is_trace("eu-prod-1.subscriber.log"));
    for (name, component, cluster) in [
        ("publisher-1.log", "publisher", None),
        ("eu-prod-1.subscriber.log", "subscriber", Some("eu-prod-1")),
    ] {
        let (path, text) = texts.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        let read = text.lines().map(|line| read_line(path, line));
        let lines: Vec<Value> = read.collect();
        // Nothing was said of a collector, and so there is none.
        assert!(!text.contains("spans are recorded"));
        assert!(lines.len() > 100, "{name} has {} lines", lines.len());
        for line in &lines {
            assert_eq!(line["component"], component, "{line}");
            assert_eq!(
                line.get("cluster").and_then(Value::as_str),
                cluster.or(line["cluster"].as_str())
            );
        }
    }
    // Offline, publisher (twice), bus, installer, what the cluster keeps, its token, and more.
    assert!(secrets.len() >= 8, "{}", secrets.len());
    for (path, text) in &texts {
        for (name, secret) in &secrets {
            assert!(
                !text.contains(secret.as_str()),
                "a secret of {} is in {}",
                name.display(),
                path.display()
            );
        }
    }
}

/// A line, which is an object without other fields than the documented ones, each of its type.
fn read_line(path: &Path, line: &str) -> Value {
    let read = serde_json::from_str::<Value>(line);
    let value = read.unwrap_or_else(|error| panic!("{}: {error} in {line}", path.display()));
    let object = value.as_object().unwrap();
    for (name, field) in object {
        assert!(FIELDS.contains(&name.as_str()), "{name} in {line}");
        let is_of_type = match name.as_str() {
            "generation" => field.is_u64(),
            "fields" => field.is_object(),
            _ => field.is_string(),
        };
        assert!(is_of_type, "{name} in {line}");
    }
    for name in &FIELDS[..6] {
        assert!(object.contains_key(*name), "no {name} in {line}");
    }
    value
}

/// What the cluster keeps in Secrets: its keys, and the token that it enrolled with. What publishers and
/// servers sign for a key comes over the bus, and is good for nothing without the key.
async fn kept_in_the_cluster(dir: &Path) -> Vec<(PathBuf, String)> {
    let script = format!(
        ". '{}/env' && kubectl --context eu-prod-1 -n writ-system get secrets -o json",
        dir.display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().await;
    let listed: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let mut found = Vec::new();
    for secret in listed["items"].as_array().unwrap() {
        for (name, value) in secret["data"].as_object().into_iter().flatten() {
            let encoded = value.as_str().unwrap();
            let text = BASE64.decode(encoded.as_bytes()).unwrap();
            let text = String::from_utf8(text).unwrap();
            let path = Path::new(secret["metadata"]["name"].as_str().unwrap()).join(name);
            let words = text.split_whitespace().chain([encoded]);
            let words = words.filter(|word| {
                let is_public = word.starts_with("-----") || word.starts_with("eyJ");
                word.len() >= SECRET_LENGTH_MIN && !is_public
            });
            found.extend(words.map(|word| (path.clone(), word.to_owned())));
        }
    }
    let names: Vec<_> = found
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    for expected in [
        "writ-keys/bus.seed",
        "writ-keys/ack.seed",
        "writ-keys/bus.creds",
    ] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    assert!(
        names.iter().any(|name| name.ends_with("/token")),
        "{names:?}"
    );
    found
}

/// Every word of every file that only its owner may read and that holds keys, tokens or passwords; of what
/// the fleet keeps in public beside them, nothing.
fn secrets(dir: &Path) -> Vec<(PathBuf, String)> {
    let is_secret = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let path = path.to_string_lossy();
        let holds_keys = path.contains("/keys/");
        let is_public = ["trust", "offline.epochs", "ca.crt"].contains(&name.as_str())
            || name.ends_with(".pub")
            || name.ends_with(".crt")
            // The accounts as the server keeps them are signed lists of public keys and rights.
            || path.contains("/nats/accounts/");
        let is_token = ["token", "seed", "creds", "nk", "jwt", "signing", "key"]
            .iter()
            .any(|end| name.ends_with(end));
        (holds_keys || is_token) && !is_public
    };
    let mut found = Vec::new();
    for path in files(dir).into_iter().filter(is_secret) {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let words = text
            .split_whitespace()
            .filter(|word| word.len() >= SECRET_LENGTH_MIN && !word.starts_with("-----"));
        found.extend(words.map(|word| (path.clone(), word.to_owned())));
    }
    found
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return found;
    };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
