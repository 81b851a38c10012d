//! `sandbox up`, `sandbox down` and `demo`: what is asked of `writ-sandbox`, and what is said
//! about it.

use std::ffi::OsString;
use std::fmt::Display;

use writ_sandbox::demo::{self, DemoOptions};
use writ_sandbox::fleet::{Fleet, FleetOptions, Summary};
use writ_sandbox::parts::Parts;
use writ_sandbox::process::Launcher;
use writ_sandbox::progress::Progress;
use writ_sandbox::up;

use super::{Demo, Down, Up, failed};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::interrupt::{Interrupt, unless};

/// Starts a fleet and stays with it, or leaves it in the background.
pub(super) async fn up(
    args: Up,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let launcher = launcher()?;
    if args.detach {
        let summary = Box::pin(detach(&args, &launcher, interrupt)).await?;
        tell(&summary, Ending::Down, console);
        return Ok(Exit::Done);
    }
    let mut options = FleetOptions::new(launcher, args.regions, args.stages);
    options.leafs = args.leafs;
    options.dir = args.dir;
    options.progress = Progress::stderr();
    // It listens to the signals itself: Ctrl-C is its ordinary end, which takes a moment.
    let ran = Box::pin(up::run(options, |summary| {
        tell(summary, Ending::CtrlC, console);
    }));
    match ran.await {
        Ok(()) => Ok(Exit::Done),
        Err(up::Error::Interrupted) => Err(Error::Interrupted("; the fleet was ended")),
        Err(error) => Err(failed("the sandbox did not run", error)),
    }
}

async fn detach(args: &Up, launcher: &Launcher, interrupt: &Interrupt) -> Result<Summary, Error> {
    let Some(dir) = &args.dir else {
        return Err(Error::Usage("--detach needs --dir".to_owned()));
    };
    let progress = Progress::stderr();
    let work = async {
        // Built here, where somebody sees the bar, and not in the background.
        Parts::find(&progress)
            .await
            .map_err(|error| failed("the real parts are missing", error))?;
        let started = up::detach(launcher, dir, again(args));
        progress
            .step("start the fleet in the background", started)
            .await
            .map_err(|error| failed("the sandbox did not start", error))
    };
    unless(interrupt, work)
        .await
        .ok_or(Error::Interrupted("; nothing was left running"))?
}

/// The command line of the process in the background.
fn again(args: &Up) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["sandbox".into(), "up".into()];
    line.push(format!("--regions={}", list(&args.regions)).into());
    line.push(format!("--stages={}", list(&args.stages)).into());
    if args.leafs {
        line.push("--leafs".into());
    }
    if let Some(dir) = &args.dir {
        line.extend(["--dir".into(), dir.into()]);
    }
    line
}

fn list(names: &[impl Display]) -> String {
    names
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// Ends the fleet of a folder.
pub(super) async fn down(args: Down, console: &mut Console) -> Result<Exit, Error> {
    let dir = args.dir.display();
    match up::down(&args.dir).await {
        Ok(true) => console.tell(format!(
            "ended the sandbox of {dir}; its state and logs are kept there"
        )),
        Ok(false) => console.tell(format!("no sandbox runs in {dir}")),
        Err(error) => return Err(failed("the sandbox was not ended", error)),
    }
    Ok(Exit::Done)
}

/// Tells the story, and ends the fleet unless it is wanted longer.
pub(super) async fn demo(
    args: Demo,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let options = DemoOptions {
        launcher: launcher()?,
        dir: args.dir,
        rounds: args.rounds,
        progress: Progress::stderr(),
    };
    let told = unless(interrupt, Box::pin(demo::run(options))).await;
    let fleet: Fleet = told
        // Dropping the story ends its processes.
        .ok_or(Error::Interrupted("; the fleet was ended"))?
        .map_err(|error| failed("the demo ended early", error))?;
    if args.keep {
        tell(&fleet.summary(), Ending::CtrlC, console);
        interrupt.clone().await;
    }
    fleet
        .stop()
        .await
        .map_err(|error| failed("the fleet did not end in order", error))?;
    Ok(Exit::Done)
}

fn launcher() -> Result<Launcher, Error> {
    Launcher::this_executable()
        .map_err(|error| failed("where this executable lies is not known", error))
}

/// How the person ends the fleet.
#[derive(Clone, Copy)]
enum Ending {
    CtrlC,
    Down,
}

fn tell(summary: &Summary, ending: Ending, console: &mut Console) {
    for line in lines(summary, ending) {
        console.say(line);
    }
}

/// Where everything is, and what to try next.
fn lines(summary: &Summary, ending: Ending) -> Vec<String> {
    let width = summary
        .clusters
        .iter()
        .map(|cluster| cluster.name.len())
        .max()
        .unwrap_or(0)
        .max(9);
    let row = |name: &str, value: &str| format!("  {name:width$}  {value}");
    let mut lines = vec!["The fleet is ready.".to_owned(), String::new()];
    lines.push(row(
        "publisher",
        summary.address.trim_start_matches("https://"),
    ));
    lines.push(row("bus", &summary.bus_url));
    lines.push(row("dashboard", &summary.dashboard));
    for cluster in &summary.clusters {
        lines.push(row(&cluster.name, &cluster.endpoints.join("  ")));
    }
    lines.push(row("state", &summary.dir.display().to_string()));
    lines.extend([
        String::new(),
        "Try next:".to_owned(),
        String::new(),
        format!("  . {}", summary.env.display()),
        "  writ get clusters".to_owned(),
        "  writ apply -f examples/common-roles.yaml --wait".to_owned(),
        "  writ status common-roles --watch".to_owned(),
    ]);
    if let Some(cluster) = summary.clusters.first() {
        lines.push(format!(
            "  kubectl --context {} get clusterrolebindings -l writ.dev/managed=true",
            cluster.name
        ));
    }
    lines.push("  writ whoami".to_owned());
    lines.push(String::new());
    lines.push(match ending {
        Ending::CtrlC => "It runs until Ctrl-C.".to_owned(),
        Ending::Down => format!("End it: writ sandbox down --dir {}", summary.dir.display()),
    });
    lines
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use writ_sandbox::fleet::ClusterSummary;

    use super::super::{Command, Sandbox};
    use super::*;

    fn up_of(line: &str) -> Result<Up, clap::Error> {
        let cli = crate::Cli::try_parse_from(line.split_whitespace())?;
        match cli.command {
            crate::args::Command::Fleet(Command::Sandbox(Sandbox::Up(up))) => Ok(up),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_background_process_is_started_with_the_same_fleet() {
        let up =
            up_of("writ sandbox up --regions eu,us --stages prod --leafs --dir /tmp/x --detach")
                .unwrap();
        let line = again(&up);
        let words: Vec<_> = line.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words,
            [
                "sandbox",
                "up",
                "--regions=eu,us",
                "--stages=prod",
                "--leafs",
                "--dir",
                "/tmp/x"
            ]
        );
        let same = up_of(&format!("writ {}", words.join(" "))).unwrap();
        assert_eq!(
            (same.regions, same.stages, same.detach),
            (up.regions, up.stages, false)
        );
    }

    #[test]
    fn detaching_needs_a_folder_and_regions_are_names() {
        assert_eq!(
            up_of("writ sandbox up --detach").unwrap_err().exit_code(),
            2
        );
        assert_eq!(
            up_of("writ sandbox up --regions all")
                .unwrap_err()
                .exit_code(),
            2
        );
    }

    #[test]
    fn a_ready_fleet_says_where_everything_is_and_what_to_try() {
        let summary = Summary {
            dir: "/tmp/x".into(),
            address: "https://127.0.0.1:7070".into(),
            bus_url: "nats://127.0.0.1:4222".into(),
            dashboard: "http://127.0.0.1:8080".into(),
            kubeconfig: "/tmp/x/kubeconfig".into(),
            env: "/tmp/x/env".into(),
            clusters: vec![ClusterSummary {
                name: "eu-prod-1".into(),
                endpoints: vec![
                    "https://127.0.0.1:6443".into(),
                    "https://127.0.0.1:6444".into(),
                ],
            }],
        };
        let lines = lines(&summary, Ending::Down);
        for line in [
            "  publisher  127.0.0.1:7070",
            "  dashboard  http://127.0.0.1:8080",
        ] {
            assert!(lines.contains(&line.to_owned()), "{lines:#?}");
        }
        assert!(
            lines.contains(
                &"  eu-prod-1  https://127.0.0.1:6443  https://127.0.0.1:6444".to_owned()
            ),
            "{lines:#?}"
        );
        assert_eq!(
            lines.last().unwrap(),
            "End it: writ sandbox down --dir /tmp/x"
        );
    }
}
