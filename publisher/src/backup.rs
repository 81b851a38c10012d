//! `writ backup` and `writ restore`: all streams as files, from a running bus and to an empty one.
//!
//! Flow: the acks first, so that no cluster's word in a backup is younger than its log; then the log, and
//! the record of calls. Each stream gets a folder with the server's snapshot and, written last, its description, as `nats stream
//! backup` does it: either of the two restores what the other saved.
//! Promises: a folder with a description is whole; nothing is written over, neither files nor streams.
//! Never decides whether what is restored is still true: that is rule 9, and `writ recover`.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use writ_bus::{
    Client, accounts,
    backup::{self, Extent},
    connection::{FirstConnect, Login, Options},
    streams::Stream,
};

/// The snapshot, named as servers from 2.15 on are expected to send it; the form is found by its content.
const DATA_FILE: &str = "stream.arc.s2";
/// What older servers' snapshots are called by others.
const DATA_FILE_OLD: &str = "stream.tar.s2";
/// The description.
const DESCRIPTION_FILE: &str = "backup.json";

/// In this order they are saved.
const STREAMS: [Stream; 3] = [Stream::Acks, Stream::Log, Stream::Audit];

/// The arguments of both.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The bus.
    #[arg(long, env = "WRIT_NATS_URL", value_name = "URL")]
    pub nats_url: String,
    /// Credentials of the installer's identity on the bus.
    #[arg(long, value_name = "FILE")]
    pub nats_credentials_file: PathBuf,
    /// The folder of the backup.
    pub dir: PathBuf,
}

/// Why a backup was not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("can't {action} {}", .path.display())]
    File {
        /// Read or write.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is a backup in the folder.
    #[error("{} holds a backup: name another folder", .0.display())]
    IsThere(PathBuf),
    /// The bus.
    #[error("can't reach the bus")]
    Bus(#[source] writ_bus::connection::Error),
    /// A stream.
    #[error(transparent)]
    Stream(#[from] backup::Error),
}

/// What was saved or restored, for people.
#[derive(Debug)]
pub struct Report(Vec<(Stream, Extent)>);

impl Report {
    /// One line a stream.
    pub fn text(&self) -> String {
        let line = |(stream, extent): &(Stream, Extent)| format!("{stream}: {extent}\n");
        self.0.iter().map(line).collect()
    }
}

/// Saves all streams into a new folder.
///
/// # Errors
/// [`Error`]; a folder without a description is no backup.
pub async fn save(args: &Args) -> Result<Report, Error> {
    let client = connect(args).await?;
    let mut saved = Vec::new();
    for stream in STREAMS {
        let folder = args.dir.join(stream.as_str());
        let description_file = folder.join(DESCRIPTION_FILE);
        if description_file.exists() {
            return Err(Error::IsThere(args.dir.clone()));
        }
        let write = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::File {
                action: "write",
                path,
                source,
            }
        };
        // Policies are not for everybody on this machine.
        let mut made = fs::DirBuilder::new();
        made.recursive(true).mode(0o700);
        made.create(&folder).map_err(write(&folder))?;
        let data = folder.join(DATA_FILE);
        let file = File::create(&data).map_err(write(&data))?;
        let mut out = BufWriter::new(file);
        let (description, extent) = backup::save(&client, stream, &mut out).await?;
        out.get_ref().sync_all().map_err(write(&data))?;
        fs::write(&description_file, description).map_err(write(&description_file))?;
        saved.push((stream, extent));
    }
    Ok(Report(saved))
}

/// Gives all streams to a bus that has none of them.
///
/// # Errors
/// [`Error`]; a stream that was refused is not there.
pub async fn restore(args: &Args) -> Result<Report, Error> {
    let client = connect(args).await?;
    let mut restored = Vec::new();
    for stream in STREAMS {
        let folder = args.dir.join(stream.as_str());
        let path = folder.join(DESCRIPTION_FILE);
        let description = fs::read_to_string(&path).map_err(read(&path))?;
        let mut path = folder.join(DATA_FILE);
        if !path.exists() {
            path = folder.join(DATA_FILE_OLD);
        }
        let mut from = BufReader::new(File::open(&path).map_err(read(&path))?);
        let extent = backup::restore(&client, stream, &description, &mut from).await?;
        restored.push((stream, extent));
    }
    Ok(Report(restored))
}

fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action: "read",
        path,
        source,
    }
}

async fn connect(args: &Args) -> Result<Client, Error> {
    let options = Options {
        url: args.nats_url.clone(),
        login: Login::File(args.nats_credentials_file.clone()),
        inbox: accounts::INSTALLER_INBOX.to_owned(),
        name: "writ backup".to_owned(),
        first_connect: FirstConnect::Now,
    };
    writ_bus::connect(options).await.map_err(Error::Bus)
}
