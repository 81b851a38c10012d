//! A filter: a level for everything, and others for single modules.
//!
//! Stricter than the libraries' grammars, in which a word that is no level is a module from which everything is
//! logged: whoever writes `inof` would lose all else.

use std::str::FromStr as _;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::DEFAULT_FILTER;

/// Largest filter: a module a line of it, with room.
pub const FILTER_SIZE_MAX_BYTES: usize = 2 * 1024;

/// What is logged where a filter names modules only.
const OTHERS: LevelFilter = LevelFilter::ERROR;

/// The words for levels.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Too long.
    #[error("it has {0} bytes, the limit is {FILTER_SIZE_MAX_BYTES}")]
    Size(usize),
    /// Nothing in it.
    #[error("it is empty: say a level, one of off, error, warn, info, debug and trace")]
    Empty,
    /// A part that is neither.
    #[error(
        "{0:?} is neither a level (off, error, warn, info, debug, trace) nor MODULE=LEVEL, as writ_publisher=debug"
    )]
    Part(String),
    /// More than one level for everything, or for one module.
    #[error("{0} is given two levels")]
    Twice(String),
}

/// A filter that was read.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    text: String,
    targets: Targets,
}

impl Default for Filter {
    fn default() -> Filter {
        Filter {
            text: DEFAULT_FILTER.to_owned(),
            targets: Targets::new()
                .with_default(LevelFilter::INFO)
                .with_target("async_nats", LevelFilter::WARN),
        }
    }
}

impl Filter {
    /// Reads `LEVEL` and `MODULE=LEVEL`, with commas between them.
    ///
    /// # Errors
    /// [`FilterError`]: what is wrong with which part.
    pub(crate) fn read(text: &str) -> Result<Filter, FilterError> {
        if text.len() > FILTER_SIZE_MAX_BYTES {
            return Err(FilterError::Size(text.len()));
        }
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.iter().all(|part| part.is_empty()) {
            return Err(FilterError::Empty);
        }
        let mut targets = Targets::new();
        let mut seen: Vec<&str> = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let wrong = || FilterError::Part(part.to_owned());
            let (module, level) = match part.split_once('=') {
                Some((module, level)) => (module.trim(), level.trim()),
                None => ("", part),
            };
            let is_named = !module.is_empty() && module.bytes().all(is_of_module);
            if part.contains('=') && !is_named {
                return Err(wrong());
            }
            let level = level_of(level).ok_or_else(wrong)?;
            if seen.contains(&module) {
                let what = if module.is_empty() {
                    "everything"
                } else {
                    module
                };
                return Err(FilterError::Twice(what.to_owned()));
            }
            seen.push(module);
            targets = match module {
                "" => targets.with_default(level),
                module => targets.with_target(module, level),
            };
        }
        if !seen.contains(&"") {
            targets = targets.with_default(OTHERS);
        }
        Ok(Filter {
            text: text.trim().to_owned(),
            targets,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn targets(&self) -> Targets {
        self.targets.clone()
    }
}

/// Numbers, which the library takes too, are none of ours.
fn level_of(word: &str) -> Option<LevelFilter> {
    let word = word.to_ascii_lowercase();
    LEVELS
        .contains(&word.as_str())
        .then(|| LevelFilter::from_str(&word).ok())
        .flatten()
}

fn is_of_module(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_:-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_level_is_for_everything_and_others_are_for_modules() {
        let filter = Filter::read("warn, writ_publisher::commit=debug,async_nats=OFF").unwrap();
        let is_logged = |module: &str, level| filter.targets().would_enable(module, &level);
        assert!(is_logged("hyper", Level::WARN) && !is_logged("hyper", Level::INFO));
        assert!(is_logged("writ_publisher::commit", Level::DEBUG));
        assert!(!is_logged("writ_publisher::send", Level::DEBUG));
        assert!(!is_logged("async_nats", Level::ERROR));

        let modules_only = Filter::read("writ_publisher=debug").unwrap();
        assert!(modules_only.targets().would_enable("hyper", &Level::ERROR));
        assert!(Filter::read(DEFAULT_FILTER).unwrap().targets() == Filter::default().targets());
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_by_name() {
        for (text, part) in [
            ("inof", "inof"),
            ("info,writ_publisher", "writ_publisher"),
            ("info,writ_publisher=loud", "writ_publisher=loud"),
            ("info,=debug", "=debug"),
            ("info,writ[span]=debug", "writ[span]=debug"),
            ("3", "3"),
        ] {
            let refused = Filter::read(text).unwrap_err();
            assert_eq!(refused, FilterError::Part(part.to_owned()), "{text}");
        }
        assert_eq!(Filter::read(" , ").unwrap_err(), FilterError::Empty);
        let twice = Filter::read("info,a=warn,a=debug").unwrap_err();
        assert_eq!(twice, FilterError::Twice("a".to_owned()));
        assert!(Filter::read("info,debug").is_err());
        let long = "a".repeat(FILTER_SIZE_MAX_BYTES + 1);
        assert_eq!(
            Filter::read(&long).unwrap_err(),
            FilterError::Size(long.len())
        );
    }
}
