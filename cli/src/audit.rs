//! `audit`: keeping the record of every call outside the fleet, and checking what is kept.
//!
//! Owns the folder: a file for each day, a line for each call, and the place up to which it was read.
//! Promises that a line is in it once, also when the command was killed at any moment, and that lines
//! which are missing, or which no publisher signed, are told. Never changes a line.

use std::error::Error as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use writ_proto::audit::{Broken, Chains, Trusted, Worth};
use writ_proto::v1::{GetTrustRequest, ReadAuditRequest};

use crate::args::{Audit, ExportAudit, Global};
use crate::connect;
use crate::console::Console;
use crate::error::{Answer, Error};
use crate::exit::Exit;
use crate::interrupt::{Interrupt, unless};

/// The file that says how far the folder has come.
const POSITION: &str = "position.json";

/// The newest trust file that was met: by it, signatures are checked without a network.
const TRUST: &str = "trust";

/// How the names of the files of days begin and end.
const DAY_PREFIX: &str = "audit-";
const DAY_SUFFIX: &str = ".jsonl";

/// The pause before a publisher that went away is asked again.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// The most faults that are told one by one.
const FAULTS_SHOWN_MAX: usize = 50;

/// Runs the commands.
pub(crate) async fn run(
    command: &Audit,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    match command {
        Audit::Export(args) => export(args, global, console, interrupt).await,
        Audit::Verify { dir, trust_file } => verify(dir, trust_file.as_deref(), console),
    }
}

/// How far a folder has come: written after the lines are safe, so that what is beyond it is cut off and
/// read again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Position {
    /// The place in the record, as the publishers count it.
    place: u64,
    /// The day of the newest file.
    day: String,
    /// Its length then.
    length: u64,
    /// The end of each publisher's chain: its number and its hash.
    ends: Vec<(String, u64, String)>,
}

/// A folder that lines are added to.
struct Folder {
    path: PathBuf,
    file: Option<File>,
    position: Position,
    chains: Chains,
}

async fn export(
    args: &ExportAudit,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let mut folder = Folder::open(&args.dir).map_err(|source| Error::Setup {
        what: format!("{} can't be continued", args.dir.display()),
        source: source.into(),
    })?;
    let mut faults = 0;
    loop {
        let work = pull(args, global, &mut folder, console, &mut faults);
        let ended = match unless(interrupt, work).await {
            Some(ended) => ended,
            // What is in the folder is whole.
            None if args.follow => return Ok(Exit::Done),
            None => return Err(Error::Interrupted("")),
        };
        match ended {
            Ok(()) if !args.follow => break,
            Ok(()) => {}
            Err(error) if args.follow && passes(&error) => {
                console.tell(format!("{}; it is tried again", error.explain()))
            }
            Err(error) => return Err(error),
        }
        if unless(interrupt, tokio::time::sleep(RETRY_DELAY))
            .await
            .is_none()
        {
            return Ok(Exit::Done);
        }
    }
    console.tell(format!("exported up to place {}", folder.position.place));
    Ok(if faults == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Whether another try may go better.
fn passes(error: &Error) -> bool {
    match error {
        Error::Connect { .. } => true,
        Error::Call { answer, .. } => answer.is_transient(),
        _ => false,
    }
}

async fn pull(
    args: &ExportAudit,
    global: &Global,
    folder: &mut Folder,
    console: &mut Console,
    faults: &mut u64,
) -> Result<(), Error> {
    let failed = |status: &tonic::Status| Error::Call {
        what: "the audit was not read".to_owned(),
        answer: Answer::from_status(status),
    };
    let mut fleet = connect::connect(global).await?;
    let trust = fleet.trust.get_trust(GetTrustRequest::default()).await;
    let trust = trust.map_err(|status| failed(&status))?.into_inner();
    let kept = folder.keep(TRUST, &trust.file);
    kept.map_err(|source| Error::Setup {
        what: format!("{} can't be written", args.dir.display()),
        source: source.into(),
    })?;
    let request = ReadAuditRequest {
        after: folder.position.place,
        follow: args.follow,
    };
    let answer = fleet.audit.read_audit(request).await;
    let mut parts = answer.map_err(|status| failed(&status))?.into_inner();
    while let Some(part) = parts.message().await.map_err(|status| failed(&status))? {
        let added = folder.add(part.place, &part.lines);
        let broken = added.map_err(|source| Error::Setup {
            what: format!("{} can't be written", args.dir.display()),
            source: source.into(),
        })?;
        for broken in broken {
            *faults += 1;
            console.tell(format!("warning: {broken}"));
        }
    }
    Ok(())
}

impl Folder {
    fn open(path: &Path) -> io::Result<Folder> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        let mut folder = Folder {
            path: path.to_owned(),
            file: None,
            position: Position::default(),
            chains: Chains::default(),
        };
        let text = match std::fs::read_to_string(path.join(POSITION)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                folder.begin_anew()?;
                return Ok(folder);
            }
            Err(error) => return Err(error),
        };
        let position: Position = serde_json::from_str(&text)?;
        for (publisher, number, hash) in position.ends.clone() {
            folder.chains.resume(publisher, number, hash);
        }
        let name = file_name(&position.day);
        for day in days(path)? {
            // Days that began after the position: all of it is read again.
            if day > name {
                std::fs::remove_file(path.join(day))?;
            }
        }
        let mut file = OpenOptions::new().write(true).open(path.join(&name))?;
        if file.metadata()?.len() < position.length {
            return Err(io::Error::other(format!("{name} is shorter than it was")));
        }
        file.set_len(position.length)?;
        file.seek(SeekFrom::End(0))?;
        folder.file = Some(file);
        folder.position = position;
        Ok(folder)
    }

    /// Without a position, whatever lies there came from an export that was killed in its first step.
    fn begin_anew(&self) -> io::Result<()> {
        for day in days(&self.path)? {
            if std::fs::metadata(self.path.join(&day))?.len() > 0 {
                let text = format!("{day} is there, and no {POSITION} that says what is in it");
                return Err(io::Error::other(text));
            }
        }
        Ok(())
    }

    /// Adds the lines of one place, and says what is wrong with their chains. They are on the disk when
    /// it returns.
    fn add(&mut self, place: u64, lines: &[String]) -> io::Result<Vec<Broken>> {
        let mut broken = Vec::new();
        for line in lines {
            broken.extend(self.chains.take(line).err());
            let day = day_of(line).unwrap_or_default();
            // A line from before midnight that comes after one from after it stays with that.
            if self.file.is_none() || day > self.position.day {
                self.turn(day)?;
            }
            if let Some(file) = &mut self.file {
                file.write_all(line.as_bytes())?;
                file.write_all(b"\n")?;
                self.position.length += line.len() as u64 + 1;
            }
        }
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        self.position.place = place;
        let ends = self.chains.ends();
        let ends =
            ends.map(|(publisher, number, hash)| (publisher.to_owned(), number, hash.to_owned()));
        self.position.ends = ends.collect();
        self.keep_position()?;
        Ok(broken)
    }

    /// Goes on in the file of a day.
    fn turn(&mut self, day: String) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(self.path.join(file_name(&day)))?;
        self.file = Some(file);
        self.position.day = day;
        self.position.length = 0;
        self.sync_folder()
    }

    fn keep_position(&self) -> io::Result<()> {
        let position = serde_json::to_string(&self.position)?;
        self.keep(POSITION, position.as_bytes())
    }

    /// Replaces a file, whole.
    fn keep(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let part = self.path.join(format!("{name}.part"));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&part)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(&part, self.path.join(name))?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Whose signatures count: the given file's offline key, and the keys that it or the folder's own file
/// lists under it. Nothing where there is neither.
fn trusted(path: &Path, given: Option<&Path>) -> Result<Option<Trusted>, Error> {
    let failed = |what: &Path, source: Box<dyn std::error::Error + Send + Sync>| Error::Setup {
        what: format!("{} can't be read", what.display()),
        source,
    };
    let own = path.join(TRUST);
    let kept = match std::fs::read(&own) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(&own, error.into())),
    };
    let Some(given) = given else {
        let trusted = kept.map(|bytes| Trusted::of(&bytes)).transpose();
        return trusted.map_err(|error| failed(&own, error.into()));
    };
    let bytes = std::fs::read(given).map_err(|error| failed(given, error.into()))?;
    let mut trusted = Trusted::of(&bytes).map_err(|error| failed(given, error.into()))?;
    if let Some(kept) = kept {
        trusted
            .learn(&kept)
            .map_err(|error| failed(&own, error.into()))?;
    }
    Ok(Some(trusted))
}

fn verify(path: &Path, trust_file: Option<&Path>, console: &mut Console) -> Result<Exit, Error> {
    let read = |source: io::Error| Error::Setup {
        what: format!("{} can't be read", path.display()),
        source: source.into(),
    };
    let trusted = trusted(path, trust_file)?;
    let mut chains = Chains::default();
    let (mut lines, mut faults, mut revoked) = (0_u64, 0_usize, 0_u64);
    for day in days(path).map_err(read)? {
        let file = BufReader::new(File::open(path.join(&day)).map_err(read)?);
        for (number, line) in file.lines().enumerate() {
            lines += 1;
            let line = line.map_err(read)?;
            let broken = chains.take(&line).err().map(|broken| broken.to_string());
            let unbelieved = match trusted.as_ref().map(|trusted| trusted.judge(&line)) {
                Some(Worth::Nothing(unbelieved)) => Some(match unbelieved.source() {
                    Some(cause) => format!("{unbelieved}: {cause}"),
                    None => unbelieved.to_string(),
                }),
                Some(Worth::Revoked(_)) => {
                    revoked += 1;
                    None
                }
                Some(Worth::Genuine) | None => None,
            };
            for fault in broken.into_iter().chain(unbelieved) {
                faults += 1;
                if faults <= FAULTS_SHOWN_MAX {
                    console.tell(format!("{day}:{}: {fault}", number + 1));
                }
            }
        }
    }
    // Lines that were cut off at the end leave no trace in what is left.
    let position = std::fs::read_to_string(path.join(POSITION));
    if let Ok(position) = position {
        let position: Position =
            serde_json::from_str(&position).map_err(|error| read(error.into()))?;
        for (publisher, number, hash) in &position.ends {
            let held = chains.ends().find(|end| end.0 == publisher);
            if !held.is_some_and(|held| held.1 >= *number && (held.1 > *number || held.2 == hash)) {
                faults += 1;
                console.tell(format!(
                    "{publisher}: the lines up to {number} are not all there"
                ));
            }
        }
    }
    for (publisher, number, hash) in chains.ends() {
        console.say(format!("{publisher}  last line {number}  {hash}"));
    }
    if trusted.is_none() {
        console
            .tell("signatures are not checked: there is no trust file; name one with --trust-file");
    }
    if revoked > 0 {
        console.tell(format!(
            "{revoked} lines are signed by a key that was revoked since: nobody can tell them from those of its thief"
        ));
    }
    let what = if faults == 0 {
        "all in order"
    } else {
        "not in order"
    };
    console.tell(format!("{lines} lines, {what}"));
    Ok(if faults == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// The files of days, in their order.
fn days(path: &Path) -> io::Result<Vec<String>> {
    let mut days = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(DAY_PREFIX) && name.ends_with(DAY_SUFFIX) {
            days.push(name);
        }
    }
    days.sort();
    Ok(days)
}

fn file_name(day: &str) -> String {
    format!("{DAY_PREFIX}{day}{DAY_SUFFIX}")
}

/// The day of a line, as `2026-11-28`; nothing that could be another path.
fn day_of(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Timed {
        time: String,
    }
    let timed: Timed = serde_json::from_str(line).ok()?;
    let day = timed.time.get(..10)?;
    let is_day = day
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_day.then(|| day.to_owned())
}

#[cfg(test)]
mod tests {
    use writ_proto::audit::hash;

    use super::*;

    fn lines(from: u64, to: u64, day: &str, previous: &mut String) -> Vec<String> {
        let line = |number| {
            let line = format!(
                r#"{{"publisher":"p","number":{number},"previous":"{previous}","time":"{day}T00:00:00Z"}}"#
            );
            *previous = hash(&line);
            line
        };
        (from..=to).map(line).collect()
    }

    fn verified(path: &Path) -> Exit {
        let mut console = Console::plain(Box::new(io::sink()), Box::new(io::sink()));
        verify(path, None, &mut console).unwrap()
    }

    #[test]
    fn a_line_is_there_once_wherever_the_export_was_killed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let mut previous = String::new();
        let first = lines(1, 3, "2026-11-28", &mut previous);
        let second = lines(4, 6, "2026-11-29", &mut previous);
        let mut open = Folder::open(&path).unwrap();
        assert!(open.add(7, &first).unwrap().is_empty());
        let before = std::fs::read(path.join(POSITION)).unwrap();
        open.add(9, &second).unwrap();
        drop(open);
        // Killed after the lines were written, before the position was.
        std::fs::write(path.join(POSITION), before).unwrap();
        let today = path.join("audit-2026-11-28.jsonl");
        let mut text = std::fs::read(&today).unwrap();
        text.extend(b"{\"half a li");
        std::fs::write(&today, text).unwrap();
        let mut open = Folder::open(&path).unwrap();
        assert_eq!(open.position.place, 7);
        assert!(open.add(9, &second).unwrap().is_empty());
        drop(open);
        assert_eq!(days(&path).unwrap().len(), 2);
        assert_eq!(verified(&path), Exit::Done);
        let count: usize = days(&path)
            .unwrap()
            .iter()
            .map(|day| {
                std::fs::read_to_string(path.join(day))
                    .unwrap()
                    .lines()
                    .count()
            })
            .sum();
        assert_eq!(count, 6);
    }

    #[test]
    fn what_is_missing_shows_when_it_comes_and_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let mut previous = String::new();
        let first = lines(1, 3, "2026-11-28", &mut previous);
        lines(4, 4, "2026-11-28", &mut previous);
        let third = lines(5, 5, "2026-11-28", &mut previous);
        let mut open = Folder::open(&path).unwrap();
        assert!(open.add(1, &first).unwrap().is_empty());
        assert!(matches!(
            open.add(3, &third).unwrap()[..],
            [Broken::Missing { .. }]
        ));
        drop(open);
        assert_eq!(verified(&path), Exit::Failed);
    }

    #[test]
    fn lines_that_are_taken_out_in_the_middle_or_at_the_end_show() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let all = lines(1, 5, "2026-11-28", &mut String::new());
        Folder::open(&path).unwrap().add(1, &all).unwrap();
        assert_eq!(verified(&path), Exit::Done);
        for gone in 0..5 {
            let mut left = all.clone();
            left.remove(gone);
            let text = left.join("\n") + "\n";
            std::fs::write(path.join("audit-2026-11-28.jsonl"), text).unwrap();
            // The first may have been discarded before the first export; that it is not 1 shows.
            let expected = if gone == 0 { Exit::Done } else { Exit::Failed };
            assert_eq!(verified(&path), expected, "{gone}");
        }
        assert!(Folder::open(&path).is_err(), "it is shorter than it was");
    }
}
