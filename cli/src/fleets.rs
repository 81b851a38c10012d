//! The fleets that this user knows: a file each in the user's configuration folder.
//!
//! Owns which fleet a command is for. Promises that what is kept for one fleet is never shown to another:
//! an address that is given without a fleet gets no credential that was not given with it.

use std::env;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use writ_connect::fleet::{Fleet, Login};

use crate::args::{AddFleet, Fleets, Global};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

/// A fleet that a command is for.
pub(crate) struct Chosen {
    /// What it is kept under: a name, or the path of its file. None for an address alone.
    pub(crate) name: Option<String>,
    pub(crate) fleet: Fleet,
}

impl Chosen {
    /// It, for people.
    pub(crate) fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("the fleet `{name}`"),
            None => format!("the publisher at {}", self.fleet.address),
        }
    }

    /// Where its token is kept.
    pub(crate) fn token_file(&self) -> Result<PathBuf, Error> {
        let name = self.name.as_deref().ok_or_else(|| {
            Error::Usage("a token is kept for a fleet: name one with --fleet".to_owned())
        })?;
        // A path of a fleet's file becomes one word.
        let word = name.replace('%', "%25").replace('/', "%2F");
        Ok(folder()?.join("tokens").join(format!("{word}.json")))
    }
}

/// Runs the commands on the fleets themselves.
pub(crate) fn run(command: &Fleets, global: &Global, console: &mut Console) -> Result<Exit, Error> {
    match command {
        Fleets::Add(args) => add(args, global, console)?,
        Fleets::List => list(console)?,
        Fleets::Use { name } => {
            file(name)?;
            read(name)?;
            write(&folder()?.join("current"), &format!("{name}\n"))?;
        }
        Fleets::Remove { name } => {
            remove(&file(name)?)?;
            let chosen = Chosen {
                name: Some(name.clone()),
                fleet: Fleet::default(),
            };
            let _ = std::fs::remove_file(chosen.token_file()?);
            if current()?.as_deref() == Some(name) {
                remove(&folder()?.join("current"))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Which fleet a command is for.
pub(crate) fn choose(global: &Global) -> Result<Chosen, Error> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let address = given(&global.address);
    let name = match given(&global.fleet) {
        Some(name) => Some(name),
        // An address alone is for nobody that is known.
        None if address.is_some() => None,
        None => Some(current()?.ok_or(Error::AddressMissing)?),
    };
    let mut fleet = match &name {
        Some(name) => read(name)?,
        None => Fleet::default(),
    };
    if let Some(address) = address {
        fleet.address = address;
    }
    if let Some(path) = &global.ca_file {
        fleet.ca_file = Some(path.clone());
    }
    Ok(Chosen { name, fleet })
}

fn add(args: &AddFleet, global: &Global, console: &mut Console) -> Result<(), Error> {
    // The address and the authority come by the options that every command has.
    let absolute = |path: &Option<PathBuf>| {
        let path = path.as_ref()?;
        Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
    };
    let address = global.address.clone().filter(|address| !address.is_empty());
    let fleet = Fleet {
        address: address.ok_or_else(|| Error::Usage("give --address HOST:PORT".to_owned()))?,
        ca_file: absolute(&global.ca_file),
        server_name: args.server_name.clone(),
        certificate_file: absolute(&args.cert_file),
        key_file: absolute(&args.key_file),
        token_file: absolute(&global.token_file),
        login: args.issuer.as_ref().map(|issuer| Login {
            issuer: issuer.clone(),
            client_id: args.client_id.clone().unwrap_or_default(),
            scopes: args.scopes.clone(),
            ca_file: absolute(&args.issuer_ca_file),
        }),
    };
    let path = file(&args.name)?;
    write(&path, &fleet.to_text())?;
    console.tell(format!("wrote {}", path.display()));
    if current()?.is_none() {
        write(&folder()?.join("current"), &format!("{}\n", args.name))?;
    }
    Ok(())
}

fn list(console: &mut Console) -> Result<(), Error> {
    let current = current()?;
    let mut names = Vec::new();
    if let Ok(entries) = std::fs::read_dir(folder()?.join("fleets")) {
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".yaml").map(str::to_owned));
        }
    }
    names.sort();
    for name in names {
        let mark = if current.as_ref() == Some(&name) {
            "*"
        } else {
            " "
        };
        let address = read(&name).map_or_else(|error| error.explain(), |fleet| fleet.address);
        console.say(format!("{mark} {name}  {address}"));
    }
    Ok(())
}

fn read(name: &str) -> Result<Fleet, Error> {
    let path = file(name)?;
    Fleet::read(&path).map_err(|source| Error::Setup {
        what: format!("the fleet `{name}` is not usable"),
        source: Box::new(source),
    })
}

/// The file of a fleet: a path is taken as it is.
fn file(name: &str) -> Result<PathBuf, Error> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_word) {
        let text = format!("`{name}` is no name for a fleet: letters, digits, `-`, `_` and `.`");
        return Err(Error::Usage(text));
    }
    Ok(folder()?.join("fleets").join(format!("{name}.yaml")))
}

fn current() -> Result<Option<String>, Error> {
    let text = std::fs::read_to_string(folder()?.join("current"));
    let name = text.unwrap_or_default().trim().to_owned();
    Ok((!name.is_empty()).then_some(name))
}

/// The user's configuration folder.
fn folder() -> Result<PathBuf, Error> {
    let path = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    path("WRIT_CONFIG_DIR")
        .or_else(|| Some(path("XDG_CONFIG_HOME")?.join("writ")))
        .or_else(|| Some(path("HOME")?.join(".config/writ")))
        .ok_or_else(|| Error::Usage("there is no home folder: set WRIT_CONFIG_DIR".to_owned()))
}

/// Writes a file of the configuration folder, for its owner alone; readers see the old or the new one.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    let written = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
        let part = path.with_extension("part");
        // One that was left behind may have another mode.
        let _ = std::fs::remove_file(&part);
        let mut options = std::fs::OpenOptions::new();
        let mut opened = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&part)?;
        io::Write::write_all(&mut opened, text.as_bytes())?;
        std::fs::rename(&part, path)
    };
    written().map_err(|source| Error::Setup {
        what: format!("could not write {}", path.display()),
        source: Box::new(source),
    })
}

/// Removes a file of the configuration folder.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    std::fs::remove_file(path).map_err(|source| Error::Setup {
        what: format!("could not remove {}", path.display()),
        source: Box::new(source),
    })
}
