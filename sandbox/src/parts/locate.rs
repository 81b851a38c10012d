//! Parts that are already installed: in `KUBEBUILDER_ASSETS`, then on `PATH`. A program counts
//! only when it says a version that is good enough. Starts each candidate once, to ask it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::recipe::{Part, Version};

/// The variable of Kubernetes' own test environments.
const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// The installed parts that are good enough; the others are missing from the answer.
pub(super) fn installed(wanted: &[Part]) -> BTreeMap<Part, PathBuf> {
    let folders = folders();
    let mut found: BTreeMap<_, _> = wanted
        .iter()
        .filter_map(|part| Some((*part, first(*part, &folders)?)))
        .collect();
    let version = |found: &BTreeMap<Part, (PathBuf, Version)>, part: Part| {
        found.get(&part).map(|(_, version)| *version)
    };
    // A controller manager must not be newer than its API server: two of one release, or
    // both from the cache.
    if wanted.contains(&Part::KubeControllerManager)
        && version(&found, Part::KubeApiserver) != version(&found, Part::KubeControllerManager)
    {
        found.remove(&Part::KubeApiserver);
        found.remove(&Part::KubeControllerManager);
    }
    // kubectl supports servers one minor version away, and warns about others.
    let served = version(&found, Part::KubeApiserver).unwrap_or(Version::KUBERNETES);
    if version(&found, Part::Kubectl).is_some_and(|version| !version.is_next_to(served)) {
        found.remove(&Part::Kubectl);
    }
    found
        .into_iter()
        .map(|(part, (path, _))| (part, path))
        .collect()
}

fn folders() -> Vec<PathBuf> {
    let assets = std::env::var_os(ASSETS_VARIABLE).filter(|folder| !folder.is_empty());
    let path = std::env::var_os("PATH").unwrap_or_default();
    assets
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .collect()
}

fn first(part: Part, folders: &[PathBuf]) -> Option<(PathBuf, Version)> {
    folders.iter().find_map(|folder| {
        let path = folder.join(part.file_name());
        let version = version(part, &path)?;
        (version >= part.oldest()).then_some((path, version))
    })
}

fn version(part: Part, path: &Path) -> Option<Version> {
    if !path.is_file() {
        return None;
    }
    let output = Command::new(path)
        .args(part.version_args())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| Version::find_in(&String::from_utf8_lossy(&output.stdout)))?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &Path, part: Part, says: &str) {
        let path = folder.join(part.file_name());
        std::fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn kubectl_works_with_servers_one_minor_version_away() {
        let served = Version(1, 36);
        let near = |minor| Version(1, minor).is_next_to(served);
        assert!(near(35) && near(36) && near(37));
        assert!(!near(32) && !near(38));
        assert!(!Version(2, 36).is_next_to(served));
    }

    #[test]
    fn a_program_that_is_too_old_is_passed_over() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        program(old.path(), Part::NatsServer, "nats-server: v2.11.9");
        program(new.path(), Part::NatsServer, "nats-server: v2.12.0");
        let folders = [old.path().to_owned(), new.path().to_owned()];
        let (path, version) = first(Part::NatsServer, &folders).unwrap();
        assert!(path.starts_with(new.path()));
        assert_eq!(version, Version(2, 12));
        assert!(first(Part::NatsServer, &folders[..1]).is_none());
    }
}
