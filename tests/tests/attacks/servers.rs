//! A cluster's subscriber is led to a server that is a thief's, or is a thief's way to the true one: what
//! a leaf node can do to its clusters, and the server of the bus to all.

use std::time::{Duration, Instant};

use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind},
};
use writ_bus::live::{self, Signal};
use writ_core::subject::BusSubject;
use writ_tests::{
    proxy::Proxy,
    sieve::{Deed, Sieve},
};

use crate::{
    scene::{Scene, wait_for},
    thief::{Copy, Thief},
};

/// The cluster that the thief has between his hands.
const VICTIM: &str = "eu-prod-1";
/// Another one, which he has not.
const OTHER: &str = "eu-stage-1";

/// How long something is given the time to go wrong in, once the subscriber has met it.
const SETTLE_TIME: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_an_old_copy_of_the_log_brings_nothing_back_and_enforcement_goes_on() {
    let mut scene = Scene::start().await;
    let proxy = Proxy::start(address(scene.fleet.bus_url())).await;
    lead(&mut scene, Some(format!("nats://{}", proxy.address()))).await;
    scene.apply("kept", "get").await;
    scene.apply("withdrawn", "get").await;
    let old_beat = hear_beat(&scene.bus().await).await;
    let stolen = Copy::take(&mut scene).await;
    scene.apply("kept", "list").await;
    scene.apply("new", "get").await;
    scene
        .done("delete policy withdrawn --wait --timeout 120s")
        .await;
    in_force(&scene, "before").await;

    // He leads the connection to his server, with his log, and repeats what was once true.
    let thief = Thief::start(&scene, "thief", Some(stolen)).await;
    proxy.lead_to(thief.address());
    let client = thief.client().await;
    let met = scene.subscriber_log(VICTIM).len();
    let repeated = wait_for("old messages are heard", async || {
        live::publish_beat(&client, old_beat.clone().into())
            .await
            .unwrap();
        let repeated = thief.repeat_backwards(&client).await;
        let said = &scene.subscriber_log(VICTIM)[met..];
        (said.contains("message ignored") && said.contains("no beat is in force"))
            .then_some(repeated)
    })
    .await;
    println!("{repeated} old events at a time");
    stays(&scene, "behind the thief's server").await;
    is_put_back(&scene, "while its server is a thief's").await;
    is_silent(&scene).await;

    // He lets the true beats through: his log is then known to be behind, and is still no answer.
    let true_bus = scene.bus().await;
    let mut beats = live::listen_as_publisher(&true_bus).await.unwrap();
    let forwarder = thief.client().await;
    let forwarding = tokio::spawn(async move {
        while let Some(signal) = beats.next().await {
            if let Signal::Message { subject, bytes, .. } = signal
                && subject == BusSubject::Beat
            {
                let _ = live::publish_beat(&forwarder, bytes).await;
            }
        }
    });
    wait_for("a beat is heard", async || {
        let said = &scene.subscriber_log(VICTIM)[met..];
        said.contains("the beat is heard").then_some(())
    })
    .await;
    stays(&scene, "with true beats and old answers").await;

    // A restart there reads everything anew, out of the old log.
    scene
        .fleet
        .spawn_subscriber(&VICTIM.parse().unwrap())
        .await
        .unwrap();
    thief.repeat_backwards(&client).await;
    stays(&scene, "started on the thief's log").await;
    is_put_back(&scene, "started on the thief's log").await;
    forwarding.abort();

    // And one on a server that has nothing at all.
    let empty = Thief::start(&scene, "empty", None).await;
    proxy.lead_to(empty.address());
    thief.stop().await;
    scene
        .fleet
        .spawn_subscriber(&VICTIM.parse().unwrap())
        .await
        .unwrap();
    stays(&scene, "started on an empty server").await;
    is_put_back(&scene, "on an empty server").await;
    is_silent(&scene).await;

    // An edit that was made meanwhile is there as soon as the true bus is.
    let applied = scene.try_apply("kept", "watch", "").await;
    assert!(applied.status.success(), "{applied:?}");
    wait_for("the other cluster goes on", async || {
        let verbs = scene.verbs(OTHER, "kept").await?;
        (verbs == serde_json::json!(["watch"])).then_some(())
    })
    .await;
    proxy.lead_to(address(scene.fleet.bus_url()));
    empty.stop().await;
    let since = Instant::now();
    wait_for("it converges", async || {
        let verbs = scene.verbs(VICTIM, "kept").await?;
        (verbs == serde_json::json!(["watch"])).then_some(())
    })
    .await;
    println!(
        "converged {:?} after the true bus was back",
        since.elapsed()
    );
    scene.check("withdrawn", None).await;
    scene.check("new", Some("get")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_withholds_a_withdrawal_is_seen_and_one_that_repeats_and_reorders_changes_nothing()
 {
    let mut scene = Scene::start().await;
    let sieve = Sieve::start(address(scene.fleet.bus_url())).await;
    lead(&mut scene, Some(sieve.url())).await;

    // Everything comes twice, and every other message after the next.
    sieve.order("writ.live.policy.", ".twice", Deed::Double, usize::MAX);
    for (number, verb) in ["get", "list", "watch", "get", "list"].iter().enumerate() {
        sieve.order("writ.live.policy.", ".late", Deed::Delay, number % 2);
        for name in ["late", "twice"] {
            let applied = scene.try_apply(name, verb, "").await;
            assert!(applied.status.success(), "{applied:?}");
        }
    }
    for name in ["late", "twice"] {
        wait_for("the last edit is in force", async || {
            let verbs = scene.verbs(VICTIM, name).await?;
            (verbs == serde_json::json!(["list"])).then_some(())
        })
        .await;
    }
    let deeds = sieve.take_seen();
    let count = |deed| deeds.iter().filter(|seen| seen.deed == Some(deed)).count();
    assert!(count(Deed::Double) >= 5 && count(Deed::Delay) >= 2);
    sieve.lift();

    // Beats pass, so that nobody looks stale; what takes the right away does not.
    sieve.order("writ.live.policy.", "", Deed::Lose, usize::MAX);
    sieve.order("$JS.API.DIRECT.GET.", "", Deed::Lose, usize::MAX);
    let deleted = scene.writ("delete policy twice --wait --timeout 8s").await;
    assert_eq!(deleted.status.code(), Some(4), "{deleted:?}");
    assert_eq!(scene.verbs(OTHER, "twice").await, None);
    assert!(
        scene.verbs(VICTIM, "twice").await.is_some(),
        "it could not know"
    );
    let why = scene.writ(&format!("why {VICTIM}")).await;
    let said = String::from_utf8(why.stdout).unwrap();
    assert!(said.contains("twice") || said.contains("behind"), "{said}");
    println!("withheld: {said}");
    // It can not answer for what it did not get.
    assert_eq!(why.status.code(), Some(4), "{said}");
    sieve.lift();
    wait_for("it is withdrawn", async || {
        scene.verbs(VICTIM, "twice").await.is_none().then_some(())
    })
    .await;
}

fn address(url: &str) -> std::net::SocketAddr {
    url.trim_start_matches("nats://").parse().unwrap()
}

/// Starts the victim's subscriber with another way to the bus.
async fn lead(scene: &mut Scene, url: Option<String>) {
    let victim = VICTIM.parse().unwrap();
    scene.fleet.kill_subscriber(&victim).await.unwrap();
    scene.fleet.lead_subscriber(&victim, url).unwrap();
    scene.fleet.start_subscriber(&victim).await.unwrap();
}

pub(crate) async fn hear_beat(client: &writ_bus::Client) -> Vec<u8> {
    let mut beats = live::listen_as_publisher(client).await.unwrap();
    loop {
        if let Some(Signal::Message { subject, bytes, .. }) = beats.next().await
            && subject == BusSubject::Beat
        {
            return bytes.to_vec();
        }
    }
}

/// What was last edited before the thief came.
async fn in_force(scene: &Scene, when: &str) {
    for (name, verb) in [
        ("kept", Some("list")),
        ("new", Some("get")),
        ("withdrawn", None),
    ] {
        let verbs = verb.map(|verb| serde_json::json!([verb]));
        assert_eq!(scene.verbs(VICTIM, name).await, verbs, "{name} {when}");
    }
}

/// It is so, and goes on being so.
async fn stays(scene: &Scene, when: &str) {
    let until = Instant::now() + SETTLE_TIME;
    while Instant::now() < until {
        in_force(scene, when).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What somebody deletes by hand comes back, as it was last.
async fn is_put_back(scene: &Scene, when: &str) {
    let cluster = scene.fleet.cluster(&VICTIM.parse().unwrap()).unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRole",
    ));
    let roles: Api<DynamicObject> = Api::all_with(cluster.client().clone(), &resource);
    roles
        .delete("kept", &DeleteParams::default())
        .await
        .unwrap();
    wait_for(&format!("it is put back, {when}"), async || {
        scene.verbs(VICTIM, "kept").await
    })
    .await;
    in_force(scene, when).await;
}

/// Nobody calls a cluster good that can't be heard.
async fn is_silent(scene: &Scene) {
    wait_for("it is called silent", async || {
        let why = scene.writ(&format!("why {VICTIM}")).await;
        let said = String::from_utf8(why.stdout).unwrap();
        (why.status.code() == Some(6) && said.contains("silent")).then_some(())
    })
    .await;
}
