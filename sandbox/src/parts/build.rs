//! Builds parts with `go build` into a cache that is keyed by the pinned module, under a file
//! lock; each program is renamed into place when it is whole. Runs blocking.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::Error;
use super::recipe::{GO_MOD, GO_SUM, Part, TOOLS_GO, Version};
use crate::process::log;
use crate::progress::Progress;

/// The oldest Go that compiles the pinned modules (their `go` line).
const OLDEST_GO: Version = Version(1, 26);

/// Hexadecimal digits of the module's hash in the cache path: 64 bits, enough to tell
/// versions of one file apart.
const KEY_DIGITS: usize = 16;

/// The programs from the cache; what is missing there is built.
pub(super) fn cached(
    wanted: &[Part],
    progress: &Progress,
) -> Result<BTreeMap<Part, PathBuf>, Error> {
    let cache = Cache::open()?;
    if !cache.missing(wanted).is_empty() {
        cache.fill(wanted, progress)?;
    }
    Ok(wanted
        .iter()
        .map(|part| (*part, cache.program(*part)))
        .collect())
}

/// `<cache>/writ/parts/<hash of go.mod and go.sum>/{bin,module,lock}`.
struct Cache {
    folder: PathBuf,
}

impl Cache {
    fn open() -> Result<Self, Error> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = set("WRIT_CACHE")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CACHE_HOME").map(|folder| Path::new(&folder).join("writ")))
            .or_else(|| set("HOME").map(|folder| Path::new(&folder).join(".cache/writ")))
            .ok_or(Error::NoCacheFolder)?;
        let folder = root.join("parts").join(key());
        for name in ["bin", "module"] {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).map_err(|source| Error::Cache { path, source })?;
        }
        Ok(Self { folder })
    }

    fn program(&self, part: Part) -> PathBuf {
        self.folder.join("bin").join(part.file_name())
    }

    fn missing(&self, wanted: &[Part]) -> Vec<Part> {
        wanted
            .iter()
            .copied()
            .filter(|part| !self.program(*part).is_file())
            .collect()
    }

    fn fill(&self, wanted: &[Part], progress: &Progress) -> Result<(), Error> {
        let path = self.folder.join("lock");
        let failed = |source| Error::Cache {
            path: path.clone(),
            source,
        };
        // Held until the end of this function, or of this process.
        let lock = File::create(&path).map_err(failed)?;
        if lock.try_lock().is_err() {
            progress.say("another process is building the real parts; waiting for it");
            lock.lock().map_err(failed)?;
        }
        // Whoever held the lock before may have built some or all.
        let missing = self.missing(wanted);
        if missing.is_empty() {
            return Ok(());
        }
        self.write_module()?;
        check_go(&self.folder.join("module"), &missing)?;
        progress.say(&format!(
            "building {} from source, once (minutes on the first run)",
            names(&missing)
        ));
        self.build_all(&missing, progress)
    }

    fn write_module(&self) -> Result<(), Error> {
        for (name, text) in [
            ("go.mod", GO_MOD),
            ("go.sum", GO_SUM),
            ("tools.go", TOOLS_GO),
        ] {
            let path = self.folder.join("module").join(name);
            std::fs::write(&path, text).map_err(|source| Error::Cache { path, source })?;
        }
        Ok(())
    }

    fn build_all(&self, missing: &[Part], progress: &Progress) -> Result<(), Error> {
        let bar = progress.bar(1);
        bar.set_message("downloading modules");
        let packages = missing
            .iter()
            .map(|part| self.count_packages(*part))
            .collect::<Result<Vec<_>, _>>()?;
        bar.set_length(packages.iter().sum());
        let mut done = 0;
        for (part, packages) in missing.iter().zip(packages) {
            let begun = Instant::now();
            bar.set_message(part.file_name());
            self.build(*part, &bar, done + packages)?;
            done += packages;
            // Packages that were compiled for another program are not reported again.
            bar.set_position(done);
            progress.say(&format!("✓ built {part} ({} s)", begun.elapsed().as_secs()));
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// How many packages a program is made of; downloads the modules.
    fn count_packages(&self, part: Part) -> Result<u64, Error> {
        let mut command = self.go("list");
        command.args(["-deps", part.package()]);
        let mut count = 0;
        self.run(part, &mut command, &mut |_| (), &mut |_| count += 1)?;
        Ok(count)
    }

    fn build(&self, part: Part, bar: &ProgressBar, position_max: u64) -> Result<(), Error> {
        // Named by process: a compiler that outlived a killed sandbox may still write its own.
        let partial = self
            .folder
            .join(format!("bin/.{part}.{}", std::process::id()));
        let mut command = self.go("build");
        command
            .args([
                "-v",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags",
                &part.linker_flags(),
                "-o",
            ])
            .arg(&partial)
            .arg(part.package());
        let mut compiled = |_: &str| {
            if bar.position() < position_max {
                bar.inc(1);
            }
        };
        self.run(part, &mut command, &mut compiled, &mut |_| ())?;
        let path = self.program(part);
        std::fs::rename(&partial, &path).map_err(|source| Error::Cache { path, source })
    }

    fn go(&self, verb: &str) -> Command {
        let mut command = Command::new("go");
        command
            .arg(verb)
            .current_dir(self.folder.join("module"))
            // No C compiler is needed, and nothing of the user's workspace counts.
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .env("GOWORK", "off")
            .stdin(Stdio::null());
        command
    }

    /// Runs the compiler, keeps what it says on standard error, and fails with the end of it.
    fn run(
        &self,
        part: Part,
        command: &mut Command,
        error_line: &mut dyn FnMut(&str),
        output_line: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let path = self.folder.join(format!("build-{part}.log"));
        let failed = |source| Error::Cache {
            path: path.clone(),
            source,
        };
        let mut log = File::create(&path).map_err(failed)?;
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Error::NoGo {
                missing: part.to_string(),
                source,
            })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            // Both are read at once: a full pipe would stop the compiler.
            let copy = scope.spawn(move || stdout.map(|stream| lines(stream).collect::<Vec<_>>()));
            for line in stderr.map(lines).into_iter().flatten() {
                error_line(&line);
                // The log only serves messages; a full disk shows in the build itself.
                let _ = writeln!(log, "{line}");
            }
            for line in copy.join().ok().flatten().into_iter().flatten() {
                output_line(&line);
            }
        });
        let status = child.wait().map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Build {
            part,
            status,
            tail: log::tail(&path, 0),
            log: path,
        })
    }
}

fn lines(stream: impl std::io::Read) -> impl Iterator<Item = String> {
    BufReader::new(stream).lines().map_while(Result::ok)
}

fn key() -> String {
    let hash = Sha256::new()
        .chain_update(GO_MOD)
        .chain_update(GO_SUM)
        .finalize();
    data_encoding::HEXLOWER.encode(&hash)[..KEY_DIGITS].to_owned()
}

fn names(parts: &[Part]) -> String {
    parts
        .iter()
        .map(|part| part.file_name())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Asks in the module's folder: a Go that fetches newer toolchains says the version that the
/// module gets.
fn check_go(module: &Path, missing: &[Part]) -> Result<(), Error> {
    let missing = names(missing);
    let output = Command::new("go")
        .arg("version")
        .current_dir(module)
        .output();
    let output = output.map_err(|source| Error::NoGo {
        missing: missing.clone(),
        source,
    })?;
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match Version::find_in(&found) {
        Some(version) if output.status.success() && version >= OLDEST_GO => Ok(()),
        _ if found.is_empty() => {
            let found = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Error::OldGo {
                missing,
                found: format!("the installed Go ({found})"),
            })
        }
        _ => Err(Error::OldGo { missing, found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_go_names_the_ways_out() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let message = Error::NoGo {
            missing: "etcd".into(),
            source,
        }
        .to_string();
        assert!(message.contains(crate::parts::WAYS_OUT), "{message}");
        for way in ["install Go 1.26", "KUBEBUILDER_ASSETS", "PATH"] {
            assert!(message.contains(way), "{message}");
        }
    }
}
