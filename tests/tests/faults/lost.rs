//! A proxy between the bus and one subscriber loses, doubles and delays live messages.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use writ_core::{beat::Beat, revision::Revision, subject::BusSubject};
use writ_proto::{log, v1::AckState};
use writ_tests::{
    history::{Made, OneClient, Told},
    sieve::{Deed, Seen, Sieve},
};

use crate::{
    ground::{Ground, alone, small},
    harness::{STAGE, wait_for},
    row::Row,
};

/// Live policies.
const LIVE: &str = "writ.live.policy.";
/// Beats.
const BEAT: &str = "writ.live.beat";
/// Reads of the root.
const ROOT_READ: &str = "$JS.API.DIRECT.GET.WRIT.writ.root";

/// Rounds of each kind.
const ROUNDS: usize = 5;
/// Edits of a stream.
const EDITS: usize = 9;
/// The one of them to whose event something happens.
const CHOSEN: usize = 4;

/// How long a subscriber may take from the beat, or the next event, until the object is there: on an idle
/// machine it is some 20 ms.
const FOUND_LIMIT: Duration = Duration::from_secs(10);

async fn behind_a_sieve(ground: &Ground, prefix: &str) -> Sieve {
    let bus = ground.fleet.bus_url.trim_start_matches("nats://");
    let sieve = Sieve::start(bus.parse().unwrap()).await;
    ground.lead(STAGE, Some(sieve.url())).await;
    let first = format!("{prefix}-first");
    // What it read at its start is over when a first edit has come through.
    let mut client = OneClient::new(0, vec![ground.publisher.clone()], small(&first));
    let made = client.edit(first, 0).await;
    applied(ground, &made).await;
    sieve
}

async fn applied(ground: &Ground, made: &Made) {
    let what = format!("{} is applied", made.name());
    wait_for(&what, async || {
        let line = ground.line(made.name(), STAGE).await?;
        (line.state() == AckState::Applied).then_some(())
    })
    .await;
}

fn revision(made: &Made) -> Revision {
    let Told::Committed { revision, .. } = made.told() else {
        panic!("{made:?}");
    };
    Revision {
        epoch: 1,
        number: *revision,
    }
}

/// The one live policy to which something was done, where it is the one that was meant.
fn done<'a>(seen: &'a [Seen], name: &str) -> Option<&'a Seen> {
    let of_policies = seen.iter().filter(|seen| seen.subject.starts_with(LIVE));
    let mut done = of_policies.filter(|seen| seen.deed.is_some());
    let first = done.next()?;
    let is_it = first.subject.ends_with(&format!(".{name}")) && done.next().is_none();
    is_it.then_some(first)
}

/// The beats after a moment that name a revision or a later one.
fn beats<'a>(ground: &Ground, seen: &'a [Seen], since: Instant, at: Revision) -> Vec<&'a Seen> {
    let names_it = |seen: &Seen| {
        let beat = log::open::<Beat>(&BusSubject::Beat, &seen.payload, &ground.trusted);
        beat.unwrap().value.revision >= at
    };
    let beats = seen
        .iter()
        .filter(|seen| seen.subject == BEAT && seen.at > since);
    beats.filter(|seen| names_it(seen)).collect()
}

/// When the subscriber read the event of a policy.
fn body_read(seen: &[Seen], name: &str) -> Option<Instant> {
    let end = format!(".{name}");
    let is_it = |seen: &&Seen| {
        seen.subject
            .starts_with("$JS.API.DIRECT.GET.WRIT.writ.event.policy.")
            && seen.subject.ends_with(&end)
    };
    seen.iter().find(is_it).map(|seen| seen.at)
}

#[derive(Default)]
struct Delays {
    all: Vec<Duration>,
}

impl Delays {
    fn text(&self) -> String {
        let longest = self.all.iter().max().copied().unwrap_or_default();
        let total: Duration = self.all.iter().sum();
        let count = u32::try_from(self.all.len().max(1)).unwrap();
        format!("mean {:?}, longest {longest:?}", total / count)
    }
}

#[test]
fn the_very_last_message_that_was_lost_is_found_by_one_beat_and_one_read() {
    alone(async |ground: Ground| {
        let mut row = Row::of("the last live message lost");
        let sieve = behind_a_sieve(&ground, "lost-last").await;
        let mut client = OneClient::new(0, vec![ground.publisher.clone()], small("lost-last"));
        let (mut made, mut delays) = (Vec::new(), Delays::default());
        for round in 0..ROUNDS {
            sieve.take_seen();
            sieve.order(LIVE, "", Deed::Lose, 1);
            row.injected += 1;
            let name = format!("lost-last-{round}");
            let edit = client.edit(name.clone(), round).await;
            let found = ground.role_on(STAGE, &name).await;
            applied(&ground, &edit).await;
            let seen = sieve.seen();
            let lost = done(&seen, &name).expect("its message, and no other, was lost");
            let beats = beats(&ground, &seen, lost.at, revision(&edit));
            let read = body_read(&seen, &name).expect("the event was read");
            let beats_before = beats.iter().filter(|beat| beat.at <= read).count();
            let roots = seen
                .iter()
                .filter(|seen| seen.subject == ROOT_READ && seen.at > lost.at && seen.at <= read);
            let root_reads = roots.count();
            if (beats_before, root_reads) == (1, 1) {
                row.detected += 1;
            } else {
                row.violations.push(format!(
                    "{name} was found after {beats_before} beats and {root_reads} reads of the root"
                ));
            }
            let delay = found.saturating_duration_since(beats[0].at);
            row.recovered += usize::from(delay < FOUND_LIMIT);
            delays.all.push(delay);
            made.push(edit);
        }
        ground.settle(&mut row, &made).await;
        ground.lead(STAGE, None).await;
        row.notes = format!("in the cluster after the beat: {}", delays.text());
        row.end();
    });
}

#[test]
fn without_a_beat_the_last_message_stays_lost_and_the_status_does_not_hide_it() {
    alone(async |ground: Ground| {
        let mut row = Row::of("the last live message lost, and beats withheld for 3 s");
        let sieve = behind_a_sieve(&ground, "lost-mute").await;
        let mut client = OneClient::new(0, vec![ground.publisher.clone()], small("lost-mute"));
        sieve.order(BEAT, "", Deed::Lose, usize::MAX);
        sieve.order(LIVE, "", Deed::Lose, 1);
        row.injected += 1;
        let made = client.edit("lost-mute".to_owned(), 0).await;
        let roles = ground.fleet.objects(STAGE, "ClusterRole", "");
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            let line = ground.line("lost-mute", STAGE).await.unwrap();
            if line.state() != AckState::Pending {
                row.violations
                    .push(format!("said to be {:?}", line.state()));
            }
            if roles.get_opt("lost-mute").await.unwrap().is_some() {
                row.violations.push("found without a beat".to_owned());
            }
            sleep(Duration::from_millis(100)).await;
        }
        let seen = sieve.seen();
        done(&seen, "lost-mute").expect("its message, and no other, was lost");
        row.detected += 1;
        sieve.lift();
        let since = Instant::now();
        let found = ground.role_on(STAGE, "lost-mute").await;
        row.recovered += 1;
        ground.settle(&mut row, &[made]).await;
        ground.lead(STAGE, None).await;
        let delay = found.saturating_duration_since(since);
        row.notes = format!("in the cluster {delay:?} after beats came through again");
        row.end();
    });
}

/// Streams of edits, in each of which something happens to one event.
async fn streams(ground: &Ground, fault: &str, prefix: &str, deed: Deed) {
    let mut row = Row::of(fault);
    let sieve = behind_a_sieve(ground, prefix).await;
    let mut client = OneClient::new(0, vec![ground.publisher.clone()], small(prefix));
    let (mut made, mut delays) = (Vec::new(), Delays::default());
    for round in 0..ROUNDS {
        sieve.take_seen();
        let name = |edit: usize| format!("{prefix}-{round}-{edit}");
        for edit in 0..EDITS {
            if edit == CHOSEN {
                sieve.order(LIVE, &format!(".{}", name(edit)), deed, 1);
                row.injected += 1;
            }
            made.push(client.edit(name(edit), round * EDITS + edit).await);
        }
        let chosen = name(CHOSEN);
        let found = ground.role_on(STAGE, &chosen).await;
        applied(ground, made.last().unwrap()).await;
        let seen = sieve.seen();
        let it = done(&seen, &chosen).expect("it happened to this message, and no other");
        // What was lost has to be read; what comes twice or late must not do harm, and is enough.
        let noticed = deed != Deed::Lose || body_read(&seen, &chosen).is_some();
        row.detected += usize::from(noticed);
        let edit = &made[round * EDITS + CHOSEN];
        let beats = beats(ground, &seen, it.at, revision(edit));
        if beats.iter().filter(|beat| beat.at < found).count() > 1 && deed == Deed::Lose {
            let read = body_read(&seen, &chosen);
            if read.is_none_or(|read| beats[1].at < read) {
                row.violations
                    .push(format!("{chosen} needed a second beat"));
            }
        }
        let delay = found.saturating_duration_since(it.at);
        row.recovered += usize::from(delay < FOUND_LIMIT);
        delays.all.push(delay);
    }
    ground.settle(&mut row, &made).await;
    ground.lead(STAGE, None).await;
    row.notes = format!("in the cluster after the fault: {}", delays.text());
    row.end();
}

#[test]
fn a_message_that_was_lost_amid_others_is_found() {
    alone(async |ground: Ground| {
        let fault = "a live message lost amid edits";
        streams(&ground, fault, "lost-amid", Deed::Lose).await;
    });
}

#[test]
fn a_message_that_comes_twice_does_no_harm() {
    alone(async |ground: Ground| {
        let fault = "a live message doubled amid edits";
        streams(&ground, fault, "lost-double", Deed::Double).await;
    });
}

#[test]
fn a_message_that_comes_after_the_next_does_no_harm() {
    alone(async |ground: Ground| {
        let fault = "a live message behind the next one";
        streams(&ground, fault, "lost-late", Deed::Delay).await;
    });
}
