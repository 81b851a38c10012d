//! The log file of a child: opened for appending, read back for messages. Never parsed for
//! decisions other than "the port was taken" and "the configuration was read again".

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Lines of a log that an error message repeats: enough for a Go program's last words.
const TAIL_LINES: usize = 12;

/// Bytes read from the end of a log: well over `TAIL_LINES` long lines.
const TAIL_BYTES_MAX: u64 = 16 * 1024;

/// Opens a log for appending and makes its folder.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// How long the log is now, in bytes: the place from which `since` reads.
pub(crate) fn length(path: &Path) -> u64 {
    path.metadata().map(|metadata| metadata.len()).unwrap_or(0)
}

/// What was written after `offset`, at most `TAIL_BYTES_MAX` of it; empty where it can't be read.
pub(crate) fn since(path: &Path, offset: u64) -> String {
    let mut bytes = Vec::new();
    let start = offset.max(length(path).saturating_sub(TAIL_BYTES_MAX));
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// The last lines written after `offset`, indented for a message.
pub(crate) fn tail(path: &Path, offset: u64) -> String {
    let text = since(path, offset);
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    lines[first..]
        .iter()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_keeps_the_last_lines_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, text).unwrap();
        let tail = tail(&path, 0);
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("    line 99"), "{tail}");
    }

    #[test]
    fn a_missing_log_reads_as_empty() {
        assert_eq!(tail(Path::new("/nonexistent/log"), 0), "");
    }
}
