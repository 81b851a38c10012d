//! `keys`: the publishers' signing keys.
//!
//! The offline key is only ever read from a file that is named, and only to sign a bundle; it is never
//! sent. What the publishers are sent is signed and holds no secret, so that signing can be done on a
//! machine that reaches nobody (`new`, `sign`), and handing in on another (`apply`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use tonic::{Code, Status};
use writ_core::envelope::{KeyId, PublicKey};
use writ_core::revision::Revision;
use writ_core::trust::Bundle;
use writ_proto::trust::Trust;
use writ_proto::v1;
use writ_publisher::keys::{self, now_ms};
use writ_publisher::recover::{self, RevokeArgs};

use super::failed;
use crate::args::Global;
use crate::connect::{self, Fleet};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::interrupt::{Interrupt, unless};

/// How long a publisher may take to find a new key in its file.
const SWITCH_TIME_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_PERIOD: Duration = Duration::from_millis(100);
/// How often an end is signed anew because the key signed on meanwhile.
const ENDS_MAX: usize = 10;

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Show the keys that are believed, as a publisher holds them.
    List(List),
    /// Replace a publisher's signing key by a new one, without a gap: the new one is made and brought in,
    /// the publisher goes to it, and the old one retires.
    Rotate(Rotate),
    /// Make a signing key in a new file; prints the public key. Needs no network.
    New(New),
    /// Sign the bundle that follows a trust file, where the offline key is. Needs no network.
    Sign(Sign),
    /// Hand in a bundle that was signed elsewhere.
    Apply(Apply),
    /// Retire a key: what it signed until now stays believed, and nothing after.
    Retire(Retire),
    /// Revoke a stolen key: nothing that it ever signed is believed, and all that is in force is signed anew.
    Revoke(Box<RevokeArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Also write the bundle there, as a trust file: for `keys sign` on another machine.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The publisher's signing key file; the new key takes its place.
    #[arg(long, value_name = "FILE")]
    signing_key_file: PathBuf,
    /// The offline key, which signs the bundles.
    #[arg(long, value_name = "FILE")]
    offline_key_file: PathBuf,
    /// Whose key it is, for people.
    #[arg(long, default_value = "publisher-1", value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// Where; it must not exist.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The bundle in force, as a trust file (`keys list --save`).
    #[arg(long, value_name = "FILE")]
    trust_file: PathBuf,
    /// The offline key.
    #[arg(long, value_name = "FILE")]
    offline_key_file: PathBuf,
    /// Bring in a public key, as `keys new` printed it.
    #[arg(long, value_name = "KEY", required_unless_present = "retire")]
    add: Option<String>,
    /// Whose key it is, for people.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    name: String,
    /// Retire a key at the last revision that it signed.
    #[arg(long, value_name = "KEYID@REVISION", conflicts_with = "add")]
    retire: Option<String>,
    /// Where the new trust file goes.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A trust file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Retire {
    /// The key, as `keys list` shows it.
    #[arg(value_name = "KEYID")]
    key_id: String,
    /// The offline key, which signs the bundle.
    #[arg(long, value_name = "FILE")]
    offline_key_file: PathBuf,
}

/// Runs one of the commands.
pub(crate) async fn run(
    command: Keys,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    match command {
        Keys::New(args) => {
            let key = keys::make(&args.file).map_err(not_done)?.public();
            console.say(key.to_base64());
            console.tell(format!("key {} is in {}", key.id(), args.file.display()));
            Ok(Exit::Done)
        }
        Keys::Sign(args) => sign(&args, console),
        Keys::Revoke(args) => {
            args.tool.start_log();
            match Box::pin(recover::revoke(*args)).await {
                Ok(report) => {
                    console.write(&report.text());
                    Ok(match report.opened {
                        Some(_) => Exit::Done,
                        None => Exit::Differs,
                    })
                }
                Err(error) if error.is_guard() => {
                    console.tell(error.to_string());
                    Ok(Exit::Guarded)
                }
                Err(error) => Err(failed("the key was not revoked", error)),
            }
        }
        online => {
            let work = with_publisher(online, global, console);
            let done = unless(interrupt, work).await;
            done.unwrap_or(Err(Error::Interrupted(
                "; see `writ keys list` for what is in force",
            )))
        }
    }
}

async fn with_publisher(
    command: Keys,
    global: &Global,
    console: &mut Console,
) -> Result<Exit, Error> {
    let fleet = connect::connect(global).await?;
    let trust = match command {
        Keys::List(args) => {
            let trust = get(&fleet).await?;
            if let Some(path) = &args.save {
                write(path, &trust.file)?;
            }
            trust
        }
        Keys::Apply(args) => apply(&fleet, read(&args.file)?).await?,
        Keys::Retire(args) => {
            let id = keys::key_id(&args.key_id).map_err(not_done)?;
            retire(&fleet, id, &args.offline_key_file).await?
        }
        Keys::Rotate(args) => rotate(&fleet, &args, console).await?,
        // Done without one.
        Keys::New(_) | Keys::Sign(_) | Keys::Revoke(_) => return Ok(Exit::Done),
    };
    console.write(&table(&trust));
    Ok(Exit::Done)
}

fn sign(args: &Sign, console: &mut Console) -> Result<Exit, Error> {
    let file = read(&args.trust_file)?;
    let next = |bundle: &Bundle| {
        if let Some(retire) = &args.retire {
            let (id, until) = retire.split_once('@').unwrap_or((retire, ""));
            let until: Revision = until
                .parse()
                .map_err(|_| keys::Error::NotAKeyId(retire.clone()))?;
            return Ok(bundle.retire(keys::key_id(id)?, until, now_ms())?);
        }
        let text = args.add.as_deref().unwrap_or_default();
        let public = PublicKey::from_base64(text);
        let public = public.map_err(|_| keys::Error::NotAKeyId(text.to_owned()))?;
        Ok(bundle.with(public, &args.name, now_ms())?)
    };
    let trust = keys::sign_next(&file, &args.offline_key_file, next).map_err(not_done)?;
    write(&args.output, &trust.to_file())?;
    let version = trust.bundle.version;
    console.tell(format!(
        "bundle {version} is in {}; hand it in with `writ keys apply`",
        args.output.display()
    ));
    Ok(Exit::Done)
}

/// Goes on where an earlier run ended: a new key that lies beside the old one is taken, one that is in the
/// bundle already is not brought in again.
async fn rotate(fleet: &Fleet, args: &Rotate, console: &mut Console) -> Result<v1::Trust, Error> {
    let old = keys::read(&args.signing_key_file)
        .map_err(not_done)?
        .public();
    let trust = get(fleet).await?;
    let held = Trust::from_file(&trust.file)
        .map_err(|error| failed("the bundle is not believed", error))?;
    if !held.bundle.is_active(&old) {
        return Err(not_done(keys::Error::Bundle(
            writ_core::trust::Error::Unknown(old.id()),
        )));
    }
    let mut beside = args.signing_key_file.clone().into_os_string();
    beside.push(".next");
    let beside = PathBuf::from(beside);
    let new = match beside.exists() {
        true => keys::read(&beside),
        false => keys::make(&beside),
    };
    let new = new.map_err(not_done)?.public();
    if !held.bundle.is_active(&new) {
        let next = |bundle: &Bundle| Ok(bundle.with(new.clone(), &args.name, now_ms())?);
        let both = keys::sign_next(&trust.file, &args.offline_key_file, next).map_err(not_done)?;
        apply(fleet, both.to_file()).await?;
        console.tell(format!(
            "bundle {}: key {} is believed",
            both.bundle.version,
            new.id()
        ));
    }
    std::fs::rename(&beside, &args.signing_key_file).map_err(|source| {
        let path = args.signing_key_file.clone();
        not_done(keys::Error::Make { path, source })
    })?;
    let until = Instant::now() + SWITCH_TIME_MAX;
    while get(fleet).await?.signing_key_id != new.id().to_string() {
        if Instant::now() > until {
            return Err(Error::Fleet {
                what: "the publisher does not sign with the new key: is that its key file? Both keys are believed; `writ keys retire` ends it",
                source: "it still signs with another key".into(),
            });
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
    console.tell(format!("the publisher signs with key {}", new.id()));
    retire(fleet, old.id(), &args.offline_key_file).await
}

/// Retires a key where the log is now. If it signed on meanwhile, the publisher says so, and it is signed
/// with a later end.
async fn retire(fleet: &Fleet, id: KeyId, offline: &Path) -> Result<v1::Trust, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let trust = get(fleet).await?;
        let at = trust.as_of.as_ref().and_then(|as_of| as_of.revision);
        let at = at.map_or(Revision::ZERO, |at| Revision {
            epoch: at.epoch,
            number: at.number,
        });
        let next = |bundle: &Bundle| Ok(bundle.retire(id, at, now_ms())?);
        let signed = keys::sign_next(&trust.file, offline, next).map_err(not_done)?;
        match try_apply(fleet, signed.to_file()).await {
            Err(status) if status.code() == Code::FailedPrecondition && tries < ENDS_MAX => {}
            applied => return applied.map_err(refused),
        }
    }
}

async fn get(fleet: &Fleet) -> Result<v1::Trust, Error> {
    let request = v1::GetTrustRequest { at_least: None };
    let answer = fleet.trust.clone().get_trust(request).await;
    answer.map(|answer| answer.into_inner()).map_err(refused)
}

async fn try_apply(fleet: &Fleet, file: Vec<u8>) -> Result<v1::Trust, Status> {
    let request = v1::ApplyTrustRequest { file };
    let answer = fleet.trust.clone().apply_trust(request).await?;
    Ok(answer.into_inner())
}

async fn apply(fleet: &Fleet, file: Vec<u8>) -> Result<v1::Trust, Error> {
    try_apply(fleet, file).await.map_err(refused)
}

fn table(trust: &v1::Trust) -> String {
    let mut text = format!("trust bundle {}\n", trust.version);
    text.push_str(
        "KEY               STANDING  SINCE BUNDLE  SINCE                 UNTIL     NAME\n",
    );
    for key in &trust.keys {
        let until = key.until.as_ref().map_or(String::new(), |until| {
            let (epoch, number) = (until.epoch, until.number);
            Revision { epoch, number }.to_string()
        });
        let since = key
            .since
            .as_ref()
            .and_then(|since| jiff::Timestamp::new(since.seconds, 0).ok());
        let since = since.map_or(String::new(), |since| since.to_string());
        let signs = match key.id == trust.signing_key_id {
            true => " (signs)",
            false => "",
        };
        let line = format!(
            "{:<17} {:<9} {:<13} {since:<21} {until:<9} {}{signs}",
            key.id, key.standing, key.version, key.name
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| failed("the trust file can't be read", error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|error| failed("the trust file can't be written", error))
}

fn not_done(error: keys::Error) -> Error {
    failed("nothing was changed", error)
}

fn refused(status: Status) -> Error {
    Error::call("the publishers' keys are not as asked", &status)
}
