//! Reading a cluster by kubectl.
//!
//! Owns the process and its limits. Standard input and standard error are the person's own, so that
//! plugins which log in can ask, and kubectl's errors are read as they are. Promises to give all or
//! an error, never a part.

use std::process::Stdio;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::kinds;
use crate::args::Import;
use crate::error::Error;

/// The largest answer that is read: some 200,000 objects.
const ANSWER_SIZE_MAX_BYTES: u64 = 512 * 1024 * 1024;
/// For each request of kubectl; a list comes in pages.
const REQUEST_TIMEOUT: &str = "--request-timeout=60s";

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Value>,
}

/// Every object of the kinds that are imported.
pub(super) async fn read(args: &Import) -> Result<Vec<Value>, Error> {
    if args.namespaces.is_empty() {
        return get(args, &[&kinds::all(), "--all-namespaces"]).await;
    }
    let mut objects = Vec::new();
    let mut namespaces = args.namespaces.clone();
    namespaces.sort();
    namespaces.dedup();
    for namespace in &namespaces {
        // By a field selector: a name cannot stand beside `-l`.
        let only = format!("--field-selector=metadata.name={namespace}");
        let found = get(args, &["namespaces", &only]).await?;
        if found.is_empty() && args.selector.is_none() {
            let context = &args.context;
            let message = format!("there is no namespace {namespace} in context {context}");
            return Err(Error::NotFound(message));
        }
        objects.extend(found);
        let of = format!("--namespace={namespace}");
        objects.extend(get(args, &[&kinds::namespaced(), &of]).await?);
    }
    Ok(objects)
}

async fn get(args: &Import, what: &[&str]) -> Result<Vec<Value>, Error> {
    let mut command = Command::new("kubectl");
    command.arg(format!("--context={}", args.context));
    if let Some(file) = &args.kubeconfig {
        command.arg("--kubeconfig").arg(file);
    }
    command
        .args([REQUEST_TIMEOUT, "get"])
        .args(what)
        .args(["--output=json"]);
    if let Some(selector) = &args.selector {
        command.arg(format!("--selector={selector}"));
    }
    let answer = run(command).await?;
    let list: List = serde_json::from_slice(&answer)
        .map_err(|error| failed(&format!("its answer is not understood: {error}")))?;
    Ok(list.items)
}

async fn run(mut command: Command) -> Result<Vec<u8>, Error> {
    let mut child = command
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Error::Kubectl {
            what: "kubectl could not be started (is it on PATH?)".to_owned(),
            source: Some(source),
        })?;
    let mut answer = Vec::new();
    if let Some(out) = child.stdout.take() {
        let mut out = out.take(ANSWER_SIZE_MAX_BYTES + 1);
        let read = out.read_to_end(&mut answer).await;
        read.map_err(|error| failed(&format!("its answer could not be read: {error}")))?;
    }
    if answer.len() as u64 > ANSWER_SIZE_MAX_BYTES {
        return Err(failed(
            "the cluster has more than is read at once: use --namespace or -l",
        ));
    }
    let status = child
        .wait()
        .await
        .map_err(|error| failed(&error.to_string()))?;
    if !status.success() {
        return Err(failed(&format!(
            "{status}, its own words are above; nothing was imported"
        )));
    }
    Ok(answer)
}

fn failed(why: &str) -> Error {
    Error::Kubectl {
        what: format!("kubectl get: {why}"),
        source: None,
    }
}
