//! The dashboard in a real browser, on a fleet of real parts.
//!
//! One story and not many tests: a fleet and a browser take seconds to start, and each step looks at what the one before
//! it left.

mod browser;
#[path = "../../../publisher/tests/publisher/issuer.rs"]
#[expect(dead_code, reason = "the gate's tests use more of it")]
mod issuer;
mod login;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt as _;
use writ_proto::v1::{ApplyRequest, policy_service_client::PolicyServiceClient};
use writ_sandbox::{
    fleet::{Fleet, FleetOptions},
    process::Launcher,
};
use writ_tests::http;

use browser::{Browser, WIDE};

/// How long anything may take; these machines are shared.
const LIMIT: Duration = Duration::from_secs(60);
const POLL_PERIOD: Duration = Duration::from_millis(20);

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'";

fn policy(name: &str, objects: Value) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {
            "clusters": {"regions": ["eu"]},
            "objects": objects,
            "grants": [{"name": "devs", "subjects": [{"group": "devs"}], "clusterRole": "view", "clusterWide": true}],
        },
    })
}

fn role(name: &str, verbs: &[&str]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}],
    })
}

async fn apply(fleet: &Fleet, manifest: &Value, reason: &str) -> u64 {
    let request = ApplyRequest {
        manifest: manifest.to_string(),
        reason: reason.to_owned(),
        ..ApplyRequest::default()
    };
    let mut policies = PolicyServiceClient::new(fleet.channel().unwrap());
    let answer = policies.apply(request).await.unwrap().into_inner();
    answer.revision.unwrap().number
}

/// Whether a part of the page says something.
fn says(part: &str, text: &str) -> String {
    format!("return document.getElementById('{part}').textContent.includes({text:?})")
}

/// Whether something holds of the square of a cluster.
fn square(cluster: &str, what: &str) -> String {
    format!(
        "const one = document.getElementById('squares').squareOf('{cluster}'); return !!one && ({what})"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_shows_edits_refusals_and_silence_as_they_come() {
    let launcher = Launcher::writ(PathBuf::from(env!("CARGO_BIN_EXE_writ-under-test")));
    let names = |all: [&str; 2]| all.map(|one| one.to_owned());
    let regions = names(["eu", "us"]).map(|one| one.parse().unwrap()).to_vec();
    let stages = vec!["prod".parse().unwrap()];
    let mut fleet = Fleet::start(FleetOptions::new(launcher, regions, stages))
        .await
        .unwrap();
    let browser = Browser::start(fleet.dir()).await;
    let base = fleet.dashboard().to_owned();
    let at = |path: &str| format!("{base}{path}");
    let address = fleet
        .dashboard()
        .trim_start_matches("http://")
        .parse()
        .unwrap();

    // What a page may do is what it was said to be, on every answer.
    for path in ["/", "/assets/app.js", "/nowhere", "/clusters/eu-prod-1"] {
        let page = http::get(address, path).await;
        assert!(
            page.head
                .to_lowercase()
                .contains(&format!("content-security-policy: {POLICY}")),
            "{}",
            page.head
        );
    }

    browser.look(WIDE, "light").await;
    browser.client.goto(&at("/")).await.unwrap();
    browser
        .waits_for(
            "both clusters are on the map",
            "return document.getElementById('squares').squareCount() === 2",
        )
        .await;
    browser
        .waits_for(
            "it is live",
            "return !!document.querySelector('#asof .is-live')",
        )
        .await;

    // An edit shows on the open page within a second.
    let begun = Instant::now();
    let revision = apply(
        &fleet,
        &policy("team-payments", json!([role("pods", &["get"])])),
        "payments moved",
    )
    .await;
    browser
        .waits_for(
            "the edit is on the open page",
            &says("edits", "team-payments@1"),
        )
        .await;
    let took = begun.elapsed();
    eprintln!("an edit was on the open page after {} ms", took.as_millis());
    assert!(took < Duration::from_secs(1), "{took:?}");
    browser
        .waits_for("and its author's reason", &says("edits", "payments moved"))
        .await;
    browser
        .waits_for("and that it was applied", &says("edits", "1 applied"))
        .await;

    // A refusal shows its reason.
    let client = fleet
        .cluster(&"eu-prod-1".parse().unwrap())
        .unwrap()
        .client()
        .clone();
    let theirs: k8s_openapi::api::rbac::v1::ClusterRole =
        serde_json::from_value(role("theirs", &["get"])).unwrap();
    kube::Api::all(client)
        .create(&Default::default(), &theirs)
        .await
        .unwrap();
    apply(
        &fleet,
        &policy(
            "team-payments",
            json!([role("pods", &["get", "list"]), role("theirs", &["list"])]),
        ),
        "more",
    )
    .await;
    browser
        .waits_for(
            "the refusal has its reason",
            &says("attention", "ForeignObject"),
        )
        .await;
    browser
        .waits_for(
            "its square is of the refused",
            &square("eu-prod-1", "one.state === 'refused'"),
        )
        .await;

    // A cluster that was killed is hatched, with its age, and not green, though it was before.
    let mut everywhere = policy("everywhere", json!([role("everywhere", &["get"])]));
    everywhere["spec"]["clusters"] = json!({"all": true});
    apply(&fleet, &everywhere, "for all").await;
    browser
        .waits_for(
            "the other one is good",
            &square(
                "us-prod-1",
                "one.state === 'applied' && one.drawn === 'live'",
            ),
        )
        .await;
    let good = browser.pixels("us-prod-1").await;
    assert!(good.green > 0, "{good:?}");
    fleet
        .kill_subscriber(&"us-prod-1".parse().unwrap())
        .await
        .unwrap();
    browser
        .waits_for(
            "the killed one is hatched, and its last state is kept",
            &square(
                "us-prod-1",
                r"one.state === 'applied' && one.drawn === 'hatched' && /: applied; silent for \d+ s/.test(one.says)",
            ),
        )
        .await;
    for palette in ["light", "dark"] {
        browser.look(WIDE, palette).await;
        let silent = browser.pixels("us-prod-1").await;
        assert!(
            silent.green == 0 && silent.grey > 10,
            "{palette}: {silent:?}"
        );
    }
    browser.look(WIDE, "light").await;

    // A square says whose it is under the pointer, and leads to its page.
    let point = |kind: &str| {
        format!(
            "const canvas = document.getElementById('squares'); const one = canvas.squareOf('us-prod-1'); \
             const at = canvas.getBoundingClientRect(); \
             const clientX = at.x + one.x + one.size / 2, clientY = at.y + one.y + one.size / 2; \
             canvas.dispatchEvent(new PointerEvent('{kind}', {{clientX, clientY, bubbles: true}})); \
             return document.getElementById('square').textContent"
        )
    };
    let said = browser.ask(&point("pointermove")).await;
    assert!(
        said.as_str()
            .unwrap()
            .starts_with("us-prod-1: applied; silent for"),
        "{said}"
    );
    browser.ask(&point("click")).await;
    browser
        .waits_for(
            "its page",
            "return location.pathname === '/clusters/us-prod-1'",
        )
        .await;

    // Every page, on screens of both sorts, in both palettes.
    let pages = [
        ("fleet", "/".to_owned()),
        ("edit", format!("/edits/{revision}")),
        ("policies", "/policies".to_owned()),
        ("policy", "/policies/team-payments".to_owned()),
        ("cluster-refusing", "/clusters/eu-prod-1".to_owned()),
        ("cluster-silent", "/clusters/us-prod-1".to_owned()),
    ];
    for (name, path) in &pages {
        browser.client.goto(&at(path)).await.unwrap();
        browser
            .waits_for(
                "it is live",
                "return !!document.querySelector('#asof .is-live')",
            )
            .await;
        browser.pictures(name).await;
        let nameless = browser.nameless().await;
        assert!(nameless.is_empty(), "{name}: {nameless:#?}");
    }
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");

    // The same fleet, served on a person's own machine as themselves.
    let mut alone = tokio::process::Command::new(env!("CARGO_BIN_EXE_writ-under-test"))
        .args(["dashboard", "--listen", "127.0.0.1:0", "--fleet"])
        .arg(fleet.dir().join("fleet.yaml"))
        .env("WRIT_CONFIG_DIR", fleet.dir().join("config"))
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(alone.stdout.take().unwrap()).lines();
    let own = lines.next_line().await.unwrap().expect("its address");
    browser
        .client
        .goto(&format!("{own}/clusters/eu-prod-1"))
        .await
        .unwrap();
    browser
        .waits_for("it says who looks", &says("who", "mtls:sandbox-admin"))
        .await;
    browser
        .waits_for("and shows the cluster", &says("main", "ForeignObject"))
        .await;
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    alone.kill().await.unwrap();
    // The browser complains of the address that is gone.
    browser.client.goto("about:blank").await.unwrap();
    browser.complaints().await;

    // A page that has lost its stream says since when.
    browser.look(WIDE, "light").await;
    browser.client.goto(&at("/")).await.unwrap();
    browser
        .waits_for(
            "it is live",
            "return !!document.querySelector('#asof .is-live')",
        )
        .await;
    fleet.restart_publisher().await.unwrap();
    browser.waits_for("it says that it is not live", "return /^not live since \\d\\d:\\d\\d:\\d\\d/.test(document.getElementById('cut').textContent)").await;
    browser.picture("cut-1280-light").await;
    browser.client.clone().close().await.unwrap();
    fleet.stop().await.unwrap();
}
