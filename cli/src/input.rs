//! What a person hands in: files of documents.
//!
//! Owns finding the files, taking them apart into documents, and saying where in them something is
//! wrong. Promises that everything is read and looked at before anything is sent; never judges what
//! a document means (the publisher does).

use std::fmt;

mod ambiguity;
pub(crate) mod documents;
pub(crate) mod files;
mod json;
mod yaml;

pub(crate) use documents::{Document, Kind};

/// Where a document stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named, or `standard input`.
    pub file: String,
    /// Counted from 1; documents of comments only do not count. 0: the file as a whole.
    pub document: usize,
    /// For what came out of a `List`: its place there, counted from 1.
    pub item: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.document > 0 {
            write!(f, ": document {}", self.document)?;
        }
        if let Some(item) = self.item {
            write!(f, ", item {item}")?;
        }
        Ok(())
    }
}

/// Something that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The line of the file, counted from 1, where the text itself is wrong.
    pub line: Option<u64>,
    /// Kind and name of the document, where they are known: `ClusterPolicy payments`.
    pub subject: Option<String>,
    /// Path of the field in the document, for instance `spec.grants[0].subjects`.
    pub field: Option<String>,
    /// What is wrong, and what to do about it where that is known.
    pub message: String,
}

impl Problem {
    /// About a place as a whole.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            line: None,
            subject: None,
            field: None,
            message: message.into(),
        }
    }

    /// About a file as a whole.
    pub fn in_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self::at(
            Place {
                file: file.into(),
                document: 0,
                item: None,
            },
            message,
        )
    }

    /// At this line of the file.
    pub fn with_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// About this document.
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// About this field.
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(subject) = &self.subject {
            write!(f, " ({subject})")?;
        }
        if let Some(field) = self.field.as_deref().filter(|field| !field.is_empty()) {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.message)
    }
}
