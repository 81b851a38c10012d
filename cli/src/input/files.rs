//! From `-f` to texts: files, folders, standard input.
//!
//! Owns which files are read and in which order (as named; within a folder by name, so that two
//! runs send the same sequence). Promises to read each at most once and within a limit. Never
//! follows a folder through a symbolic link.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Problem;

/// The most that one file may hold. A registry of 10,000 clusters is about 10 MB; more is a mistake
/// or an attack.
pub(crate) const FILE_SIZE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// How standard input is called in messages.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// What a folder is searched for.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// How deep `-R` goes; deeper trees are loops or accidents.
const FOLDER_DEPTH_MAX: usize = 32;

/// The text of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// As it was named.
    pub(crate) file: String,
    /// Its content.
    pub(crate) content: String,
}

/// Reads everything that `-f` names. What cannot be read is a problem each; the others are read all
/// the same, so that one run tells everything that is wrong.
pub(crate) fn read(
    names: &[String],
    recursive: bool,
    stdin: &mut dyn Read,
) -> (Vec<Text>, Vec<Problem>) {
    let mut paths = Vec::new();
    let mut problems = Vec::new();
    for name in names {
        if name == "-" {
            paths.push(Origin::Stdin);
            continue;
        }
        let path = PathBuf::from(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                let before = paths.len();
                walk(&path, recursive, 0, &mut paths, &mut problems);
                if paths.len() == before && problems.is_empty() {
                    let hint = if recursive {
                        ""
                    } else {
                        " (with -R also in the folders below)"
                    };
                    problems.push(Problem::in_file(
                        name,
                        format!("no *.yaml, *.yml or *.json in this folder{hint}"),
                    ));
                }
            }
            Ok(_) => paths.push(Origin::File(path)),
            Err(error) => problems.push(Problem::in_file(name, unreadable(&error))),
        }
    }
    if paths
        .iter()
        .filter(|origin| matches!(origin, Origin::Stdin))
        .count()
        > 1
    {
        problems.push(Problem::in_file(
            STANDARD_INPUT,
            "is named twice and can be read only once",
        ));
        return (Vec::new(), problems);
    }

    let mut texts = Vec::new();
    for origin in paths {
        match origin.read(stdin) {
            Ok(text) => texts.push(text),
            Err(problem) => problems.push(*problem),
        }
    }
    (texts, problems)
}

enum Origin {
    Stdin,
    File(PathBuf),
}

impl Origin {
    fn read(&self, stdin: &mut dyn Read) -> Result<Text, Box<Problem>> {
        match self {
            Origin::Stdin => content(STANDARD_INPUT.to_owned(), stdin),
            Origin::File(path) => {
                let file = path.display().to_string();
                let mut open = fs::File::open(path)
                    .map_err(|error| Problem::in_file(&file, unreadable(&error)))?;
                content(file, &mut open)
            }
        }
    }
}

fn content(file: String, reader: &mut dyn Read) -> Result<Text, Box<Problem>> {
    let mut bytes = Vec::new();
    reader
        .take(FILE_SIZE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Problem::in_file(&file, unreadable(&error)))?;
    if bytes.len() as u64 > FILE_SIZE_MAX_BYTES {
        let message = format!("is larger than {} MiB", FILE_SIZE_MAX_BYTES / 1024 / 1024);
        return Err(Box::new(Problem::in_file(&file, message)));
    }
    match String::from_utf8(bytes) {
        // Editors of one operating system begin files with a byte order mark.
        Ok(text) => Ok(Text {
            content: text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned(),
            file,
        }),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            Err(Box::new(
                Problem::in_file(file, "is not UTF-8").with_line(line),
            ))
        }
    }
}

fn walk(
    folder: &Path,
    recursive: bool,
    depth: usize,
    paths: &mut Vec<Origin>,
    problems: &mut Vec<Problem>,
) {
    let name = folder.display().to_string();
    if depth > FOLDER_DEPTH_MAX {
        problems.push(Problem::in_file(
            name,
            format!("lies more than {FOLDER_DEPTH_MAX} folders deep"),
        ));
        return;
    }
    let mut entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return problems.push(Problem::in_file(name, unreadable(&error))),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            if recursive {
                walk(&path, recursive, depth + 1, paths, problems);
            }
        } else if path
            .extension()
            .is_some_and(|found| EXTENSIONS.iter().any(|known| found == *known))
            && !path.is_dir()
        {
            paths.push(Origin::File(path));
        }
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("could not be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn names(texts: &[Text], root: &Path) -> Vec<String> {
        let root = format!("{}/", root.display());
        texts
            .iter()
            .map(|text| text.file.replace(&root, ""))
            .collect()
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("b.yaml", "b"),
            ("a.yml", "a"),
            ("c.json", "{}"),
            ("notes.txt", "x"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/d.yaml"), "d").unwrap();
        folder
    }

    #[test]
    fn a_folder_is_read_by_name_and_not_below() {
        let folder = folder();
        let (texts, problems) = read(
            &[folder.path().display().to_string()],
            false,
            &mut Cursor::new(Vec::new()),
        );
        assert_eq!(problems, []);
        assert_eq!(names(&texts, folder.path()), ["a.yml", "b.yaml", "c.json"]);
    }

    #[test]
    fn recursive_reads_below_too() {
        let folder = folder();
        let (texts, _) = read(
            &[folder.path().display().to_string()],
            true,
            &mut Cursor::new(Vec::new()),
        );
        assert_eq!(
            names(&texts, folder.path()),
            ["a.yml", "b.yaml", "below/d.yaml", "c.json"]
        );
    }

    #[test]
    fn a_link_to_a_folder_is_not_followed() {
        let folder = folder();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop.yaml")).unwrap();
        let (texts, problems) = read(
            &[folder.path().display().to_string()],
            true,
            &mut Cursor::new(Vec::new()),
        );
        assert_eq!((texts.len(), problems.len()), (4, 0));
    }

    #[test]
    fn an_empty_folder_and_a_missing_file_are_both_told() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().display().to_string();
        let (texts, problems) = read(
            &[empty, "/nowhere/x.yaml".to_owned()],
            false,
            &mut Cursor::new(Vec::new()),
        );
        assert!(texts.is_empty());
        assert_eq!(problems.len(), 2);
        assert_eq!(
            problems[1].to_string(),
            "/nowhere/x.yaml: no such file or folder"
        );
    }

    #[test]
    fn standard_input_is_read_once() {
        let (texts, problems) = read(&["-".to_owned()], false, &mut Cursor::new(b"a: 1".to_vec()));
        assert_eq!(
            (texts[0].file.as_str(), texts[0].content.as_str()),
            ("standard input", "a: 1")
        );
        assert_eq!(problems, []);
        let twice = ["-".to_owned(), "-".to_owned()];
        assert_eq!(read(&twice, false, &mut Cursor::new(Vec::new())).1.len(), 1);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_with_their_line() {
        let (_, problems) = read(
            &["-".to_owned()],
            false,
            &mut Cursor::new(b"a: 1\nb: \xff\n".to_vec()),
        );
        assert_eq!(
            problems[0].to_string(),
            "standard input, line 2: is not UTF-8"
        );
    }

    #[test]
    fn a_byte_order_mark_is_taken_off() {
        let (texts, _) = read(
            &["-".to_owned()],
            false,
            &mut Cursor::new("\u{feff}a: 1".as_bytes().to_vec()),
        );
        assert_eq!(texts[0].content, "a: 1");
    }
}
