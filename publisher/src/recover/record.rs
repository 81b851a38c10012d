//! The file in which the offline key's holder records every epoch.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use writ_core::epoch::Record;

use super::Error;

/// Reads it. One that is missing is never taken for an empty one.
pub(super) fn read(path: &PathBuf) -> Result<Record, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NoRecord(path.clone()));
        }
        Err(source) => {
            let path = path.clone();
            return Err(Error::ReadFile { path, source });
        }
    };
    text.parse().map_err(|source| Error::Record {
        path: path.clone(),
        source,
    })
}

/// Replaces it, on the disk before anything is signed.
pub(super) fn write(path: &Path, record: &Record) -> Result<(), Error> {
    replace(path, &record.to_string()).map_err(|source| Error::WriteRecord {
        path: path.to_owned(),
        source,
    })
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_replaced_as_a_whole_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("epochs");
        assert!(matches!(read(&path), Err(Error::NoRecord(_))));
        write(&path, &Record::new()).unwrap();
        let mut record = read(&path).unwrap();
        assert_eq!(record.take(1, "lost"), 2);
        write(&path, &record).unwrap();
        assert_eq!(read(&path).unwrap().highest(), 2);
        fs::write(&path, "two\n").unwrap();
        assert!(matches!(read(&path), Err(Error::Record { .. })));
    }
}
