//! Starting children. One thread starts them all and lives as long as this process, because
//! the kernel sends the parent-death signal when the starting *thread* ends. Owns that thread
//! and the choice of the wrapper; never waits for a child.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{OnceLock, mpsc};

use tokio::sync::oneshot;

use super::{Error, Process, log, wrapper};

/// What to start, and where its output goes.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The child's name in the fleet, as messages say it (`kube-apiserver eu-prod-1`).
    pub name: String,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables set beside those of this process.
    pub envs: Vec<(OsString, OsString)>,
    /// The file that both output streams are appended to.
    pub log: PathBuf,
}

impl Spec {
    /// A program without arguments yet.
    pub fn new(name: impl Into<String>, program: &Path, log: PathBuf) -> Self {
        let program = program.to_owned();
        Self {
            name: name.into(),
            program,
            args: Vec::new(),
            envs: Vec::new(),
            log,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds `--name=value`.
    #[must_use]
    pub fn flag(self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut arg = OsString::from(format!("--{name}="));
        arg.push(value);
        self.arg(arg)
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.envs.push((name.into(), value.into()));
        self
    }
}

/// Knows which executable ties children to this process, and which one is `writ`.
#[derive(Clone, Debug)]
pub struct Launcher {
    wrapper: PathBuf,
    wrapper_args: Vec<OsString>,
    writ: Option<PathBuf>,
    /// Of publishers and subscribers, beside those of this process.
    variables: Vec<(OsString, OsString)>,
}

impl Launcher {
    /// The running executable is `writ`: it is started again as `writ __exec PROGRAM ARGS…`.
    pub fn this_executable() -> std::io::Result<Self> {
        std::env::current_exe().map(Self::writ)
    }

    /// `writ` lies elsewhere, as it does for a test process.
    pub fn writ(path: PathBuf) -> Self {
        Self {
            wrapper: path.clone(),
            wrapper_args: vec!["__exec".into()],
            writ: Some(path),
            variables: Vec::new(),
        }
    }

    /// A wrapper alone (`writ-exec`): starts real parts, but no publisher or subscriber.
    pub fn new(wrapper: PathBuf) -> Self {
        Self {
            wrapper,
            wrapper_args: Vec::new(),
            writ: None,
            variables: Vec::new(),
        }
    }

    /// Publishers and subscribers are started with one variable more.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// The executable that has the publisher and the subscriber in it, where it is known.
    pub fn writ_executable(&self) -> Option<&Path> {
        self.writ.as_deref()
    }

    /// Starts a child and returns at once.
    pub async fn start(&self, spec: Spec) -> Result<Process, Error> {
        let name = spec.name.clone();
        let spawn = |source| Error::Spawn {
            name: name.clone(),
            source,
        };
        let log_offset = log::length(&spec.log);
        let command = self.command(&spec).map_err(spawn)?;
        let child = spawn_on_lasting_thread(command).await.map_err(spawn)?;
        Ok(Process::watch(spec, log_offset, child))
    }

    /// The command of a process in a session of its own, which outlives this one.
    pub(crate) fn session_command(&self, program: &Path) -> std::process::Command {
        let mut command = std::process::Command::new(&self.wrapper);
        command
            .args(&self.wrapper_args)
            .arg(wrapper::SESSION_FLAG)
            .arg(program);
        command
    }

    fn command(&self, spec: &Spec) -> std::io::Result<tokio::process::Command> {
        let output = log::open(&spec.log)?;
        let is_writ = self.writ.as_ref() == Some(&spec.program);
        let own = self.variables.iter().filter(|_| is_writ);
        let mut command = tokio::process::Command::new(&self.wrapper);
        command
            .args(&self.wrapper_args)
            .arg(&spec.program)
            .args(&spec.args)
            .envs(own.map(|(name, value)| (name, value)))
            .envs(spec.envs.iter().map(|(name, value)| (name, value)))
            .env(wrapper::PARENT_VARIABLE, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C at the terminal is for this process, which then ends them in order.
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

struct Request {
    command: tokio::process::Command,
    runtime: tokio::runtime::Handle,
    answer: oneshot::Sender<std::io::Result<tokio::process::Child>>,
}

async fn spawn_on_lasting_thread(
    command: tokio::process::Command,
) -> std::io::Result<tokio::process::Child> {
    static STARTER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let gone = || std::io::Error::other("the thread that starts children is gone");
    let starter = STARTER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        // A failed start of the thread drops the receiver, which every request reports.
        let _ = std::thread::Builder::new()
            .name("starter".into())
            .spawn(move || {
                for mut request in requests {
                    let _runtime = request.runtime.enter();
                    let _ = request.answer.send(request.command.spawn());
                }
            });
        sender
    });
    let (answer, answered) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    starter
        .send(Request {
            command,
            runtime,
            answer,
        })
        .map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}
