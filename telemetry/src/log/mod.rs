//! What a process logs, and in which form: set up once, for all programs alike.
//!
//! Owns the arguments, the two forms (`text` for people, `json` with a fixed set of fields, [`FIELDS`]) and the filter,
//! which can be exchanged while the process runs ([`Levels`]). Promises: in the form `json` every line of a process
//! that has begun is one object and has no other fields, a panic included. Never writes anywhere but to the standard
//! error, and never makes a field of what a caller sent: names of fields stand in the code.

mod filter;
mod json;
mod levels;

use std::{
    env,
    io::{self, IsTerminal as _},
    panic,
    sync::OnceLock,
};

use clap::{Args, ValueEnum};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt as _, reload};

pub use filter::{FILTER_SIZE_MAX_BYTES, FilterError};
pub use json::FIELDS;
pub use levels::{FALL_BACK_TIME_MAX, Levels, Standing};

use filter::Filter;

/// What is logged where nobody says otherwise: the bus's library has a line for every message that a reader is too
/// slow for, which is told once a second besides.
pub const DEFAULT_FILTER: &str = "info,async_nats=warn";

/// The levels of this process, once logging has begun.
static LEVELS: OnceLock<Levels> = OnceLock::new();

/// Held by each test that logs to a subscriber of its own: what is enabled is remembered for the process, by
/// whichever subscribers there are when a line is first reached.
#[cfg(test)]
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How a process logs.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct LogArgs {
    /// Form of the log on standard error: text for people, json for one object a line with a fixed set of fields
    #[arg(
        long,
        value_name = "FORM",
        value_enum,
        default_value_t,
        env = "WRIT_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
    /// What is logged: a level, and others for single modules, as in info,async_nats=warn,writ_publisher=debug. It
    /// can be changed while the process runs, at /debug/log of --admin-addr
    #[arg(long, value_name = "FILTER", default_value = DEFAULT_FILTER, env = "WRIT_LOG")]
    pub log_filter: String,
}

/// A form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Which program logs, and for whom.
#[derive(Debug, Clone)]
pub struct Who {
    /// The program: `publisher`, `subscriber`, `recover`.
    pub component: &'static str,
    /// Its name among those of its kind.
    pub instance: String,
    /// The one cluster that it serves.
    pub cluster: Option<String>,
}

/// Begins to log. A filter that can't be read is no reason not to start: the default one holds, and a warning says so.
/// A second call in one process changes nothing.
pub fn start(who: Who, args: &LogArgs) {
    let read = Filter::read(&args.log_filter);
    let filter = read
        .as_ref()
        .map_or_else(|_| Filter::default(), Clone::clone);
    let (exchangeable, handle) = reload::Layer::<Targets, _>::new(filter.targets());
    let form = match args.log_format {
        LogFormat::Text => {
            let is_colored = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
            let text = fmt::layer().with_ansi(is_colored);
            text.with_writer(io::stderr).boxed()
        }
        LogFormat::Json => {
            let json = fmt::layer().event_format(json::Json::of(who));
            json.with_writer(io::stderr).boxed()
        }
    };
    let all = tracing_subscriber::registry().with(form.with_filter(exchangeable));
    if tracing::subscriber::set_global_default(all).is_err() {
        return;
    }
    let _ = LEVELS.set(Levels::new(handle, filter));
    if args.log_format == LogFormat::Json {
        panic::set_hook(Box::new(log_panic));
    }
    if let Err(error) = read {
        tracing::warn!("WRIT_LOG is not read, and {DEFAULT_FILTER} holds: {error}");
    }
}

/// The levels of this process; none where it has not begun to log.
pub fn levels() -> Option<&'static Levels> {
    LEVELS.get()
}

/// An error with its causes, for one line of the log.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What the standard library would print over several lines.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    let said = info.payload_as_str().unwrap_or("no text");
    tracing::error!(target: "panic", place, "panicked: {said}");
}
