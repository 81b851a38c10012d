//! `events`: what happens, one line each, once or as it comes.
//!
//! A reading verb: it ends with 0 whatever it shows. Promises to say what could not be told: a publisher that
//! forgot something before it was read, and the time in which none was heard.

use std::ops::ControlFlow;

use writ_proto::v1;

use crate::args::{EventOutput, Events, Global};
use crate::connect;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::output::{events, words};
use crate::stream::{self, WATCH_AGAIN_DELAY};

/// Asked for after an interruption: all that a publisher remembers.
const LAST_MAX: u32 = 4_096;

/// Runs the command.
pub(crate) async fn run(
    args: Events,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let request = request(&args)?;
    unless(interrupt, follow(request, &args, global, console))
        .await
        .ok_or(Error::Interrupted(""))?
}

fn request(args: &Events) -> Result<v1::HappeningsRequest, Error> {
    let name = |reference: &Option<crate::args::Reference>, kind| {
        let reference = reference.as_ref();
        let name = reference.map(|reference| reference.expect(kind).map(str::to_owned));
        name.transpose().map(Option::unwrap_or_default)
    };
    Ok(v1::HappeningsRequest {
        last: args.last,
        only_last: !args.watch,
        policy: name(&args.policy, Kind::ClusterPolicy)?,
        cluster: name(&args.cluster, Kind::Cluster)?,
        region: args.region.clone().unwrap_or_default(),
        stage: args.stage.clone().unwrap_or_default(),
    })
}

async fn follow(
    mut request: v1::HappeningsRequest,
    args: &Events,
    global: &Global,
    console: &mut Console,
) -> Result<Exit, Error> {
    let mut fleet = connect::connect(global).await?;
    let mut printed = Printed::default();
    loop {
        let opened = fleet.acks.watch_happenings(request.clone());
        let ended = stream::each(opened, |told| {
            printed.print(&told, args.output, console);
            console.flow()
        });
        match ended.await {
            Ok(ControlFlow::Break(())) => return Ok(Exit::Done),
            Ok(ControlFlow::Continue(())) => {
                if printed.is_nothing() {
                    console.tell("nothing has happened since that publisher was started");
                }
                return Ok(Exit::Done);
            }
            Err(answer) if args.watch && answer.is_transient() => {
                console.tell(format!("watching again: {answer}"));
                // Perhaps another publisher, which counts for itself: what was printed is known by its time.
                request.last = LAST_MAX;
                printed.begin_anew();
                tokio::time::sleep(WATCH_AGAIN_DELAY).await;
            }
            Err(answer) => {
                return Err(Error::Call {
                    what: "no events".to_owned(),
                    answer,
                });
            }
        }
    }
}

/// What was printed so far.
#[derive(Default)]
struct Printed {
    has_header: bool,
    /// The time of the last one.
    last: Option<jiff::Timestamp>,
    /// Those up to this time were printed before the stream was cut.
    known_until: Option<jiff::Timestamp>,
}

impl Printed {
    fn is_nothing(&self) -> bool {
        self.last.is_none()
    }

    fn begin_anew(&mut self) {
        self.known_until = self.last;
    }

    fn print(
        &mut self,
        told: &v1::HappeningsResponse,
        output: Option<EventOutput>,
        console: &mut Console,
    ) {
        if told.missed > 0 {
            let missed = told.missed;
            console.tell(format!(
                "{missed} happenings are not shown: this reader is too slow"
            ));
        }
        for happening in &told.happenings {
            let at = words::time(happening.at.as_ref());
            if self.known_until.is_some() && at <= self.known_until {
                continue;
            }
            self.last = self.last.max(at);
            match output {
                Some(EventOutput::Json) => console.say(events::json(happening).line()),
                _ => {
                    if !self.has_header {
                        console.say(events::HEADER);
                        self.has_header = true;
                    }
                    let wide = output == Some(EventOutput::Wide);
                    let zone = console.zone.clone();
                    console.say(events::line(happening, wide, &zone, console.colour));
                }
            }
        }
    }
}
