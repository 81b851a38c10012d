//! The story of Writ, told by a real fleet on this machine: six clusters, then a seventh.
//!
//! Owns the order of the steps, what is asked in each, and how it is told. Every claim is asked of the
//! API servers or of the publisher before it is printed as true; a claim that does not come true ends
//! the demo with an error. Never looks into the processes that it tells about.

mod access;
mod ceiling;
mod measure;
mod objects;
mod policies;
mod story;
mod told;

use std::path::PathBuf;

use writ_core::name::{Region, Stage};

pub use self::measure::Measured;
use crate::{
    fleet::{self, Fleet, FleetOptions},
    process::Launcher,
    progress::Progress,
};

/// The regions of the story.
const REGIONS: [&str; 3] = ["eu", "us", "ap"];
/// The stages of the story.
const STAGES: [&str; 2] = ["prod", "stage"];
/// The cluster with two API servers on one etcd.
const TWO_API_SERVERS: &str = "eu-prod-1";

/// How the demo is run.
#[derive(Debug)]
pub struct DemoOptions {
    /// How children are started.
    pub launcher: Launcher,
    /// The state folder; none is a temporary one, removed when the demo went well.
    pub dir: Option<PathBuf>,
    /// Rounds of the measurement at the end; 0 leaves it out.
    pub rounds: u32,
    /// Where progress is shown.
    pub progress: Progress,
}

/// What ended the demo early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The fleet did not start or serve.
    #[error("the fleet")]
    Fleet(#[from] fleet::Error),
    /// The publisher refused a request.
    #[error("the publisher refused: {}", .0.message())]
    Publisher(#[source] Box<tonic::Status>),
    /// An API server did not answer as it should.
    #[error("ask the API server of {0}")]
    ApiServer(String, #[source] Box<kube::Error>),
    /// An example can't be read; they are part of this build.
    #[error("read the example {0}")]
    Example(
        &'static str,
        #[source] Box<dyn std::error::Error + Send + Sync>,
    ),
    /// A step was not seen to be true in time.
    #[error("not seen to be true: {0}")]
    Untrue(String),
    /// Standard output is gone.
    #[error("write the story")]
    Output(#[from] std::io::Error),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Error {
        Error::Publisher(Box::new(status))
    }
}

/// Starts a fleet, tells the story, and hands the fleet over as the story left it.
///
/// # Errors
/// [`Error`]: some step was not seen to be true. The fleet is ended then; the state folder with all
/// logs is kept, and named.
pub async fn run(options: DemoOptions) -> Result<Fleet, Error> {
    let mut wanted = FleetOptions::new(
        options.launcher,
        REGIONS
            .iter()
            .filter_map(|text| text.parse::<Region>().ok())
            .collect(),
        STAGES
            .iter()
            .filter_map(|text| text.parse::<Stage>().ok())
            .collect(),
    );
    wanted.dir = options.dir;
    wanted.second_api_server_on = TWO_API_SERVERS.parse().ok();
    wanted.progress = options.progress.clone();
    told::title()?;
    let mut fleet = Fleet::start(wanted).await?;
    let dashboard = format!("the dashboard of this fleet: {}", fleet.dashboard());
    options.progress.say(&dashboard);
    match story::tell(&mut fleet, options.rounds).await {
        Ok(()) => {
            told::farewell()?;
            Ok(fleet)
        }
        Err(error) => {
            let folder = fleet.dir().display();
            options
                .progress
                .say(&format!("state and logs are kept in {folder}"));
            Err(error)
        }
    }
}
