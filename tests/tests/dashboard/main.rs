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

/// The row of something in the lists of a part.
fn row_of(part: &str, key: &str) -> String {
    format!("document.querySelector('#{part} [data-rows] > [data-key=\"{key}\"]')")
}

/// Whether rows are the elements that were marked before, in this order.
fn are_kept(part: &str, keys: &[&str]) -> String {
    format!(
        "const rows = [...document.querySelectorAll('#{part} [data-rows] > [data-key]')]; \
         return rows.map((one) => one.dataset.key).join() === {:?} && rows.every((one) => one.isMarked)",
        keys.join(",")
    )
}

/// Marks the rows of a part that are there.
fn mark(part: &str) -> String {
    format!(
        "for (const one of document.querySelectorAll('#{part} [data-rows] > [data-key]')) one.isMarked = true"
    )
}

/// Whether the page says what one says that is made now, but for how long ago all was.
const IS_WHOLE: &str = r#"
    const done = arguments[0];
    const told = (page) => [...page.querySelectorAll('main section, #activity')].filter((one) => one.id !== 'map')
        .map((one) => one.innerHTML.replaceAll(/\d+ (s|min)\b/g, 'a while'));
    fetch(location.href).then((answer) => answer.text()).then((text) => {
        const made = told(new DOMParser().parseFromString(text, 'text/html'));
        done(JSON.stringify(told(document)) === JSON.stringify(made));
    });"#;

/// What is in a list and no row of it, or a row of no list.
const STRAY: &str = "
    const inside = [...document.querySelectorAll('[data-rows]')].flatMap((list) => [...list.childNodes]);
    const rows = [...document.querySelectorAll('[data-key]')];
    const stray = [...inside.filter((one) => !one.dataset?.key), ...rows.filter((one) => !inside.includes(one))];
    return stray.map((one) => one.outerHTML || one.textContent)";

/// Whether what a stream says first is what the page says, but for the time.
const SAYS_THE_SAME: &str = "
    const done = arguments[0], parts = [];
    const stream = new EventSource('/live' + location.pathname + location.search);
    stream.addEventListener('part', ({ data }) => parts.push(JSON.parse(data)));
    stream.addEventListener('beat', () => {
        stream.close();
        const made = document.createElement('template');
        const is_other = ({ id, html }) => {
            made.innerHTML = html;
            return id !== 'asof' && made.innerHTML !== document.getElementById(id).innerHTML;
        };
        const others = parts.filter(is_other);
        done(others.length === 0 && parts.length > 4);
    });";

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
            "return 'followed' in document.documentElement.dataset",
        )
        .await;

    // What the stream says first is what the page says already, so that nothing is replaced.
    browser.comes_to("both say the same", SAYS_THE_SAME).await;

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

    // A refusal shows its reason. Who looks at a row is still there after it has changed.
    browser.ask(&mark("table")).await;
    let link = format!("{}.querySelector('a')", row_of("table", "eu-prod-1"));
    browser.ask(&format!("{link}.focus()")).await;
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
    browser
        .waits_for(
            "so is its row",
            &format!(
                "return {}.textContent.includes('ForeignObject')",
                row_of("table", "eu-prod-1")
            ),
        )
        .await;
    browser
        .waits_for(
            "both rows are kept",
            &are_kept("table", &["eu-prod-1", "us-prod-1"]),
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
    // Rows that change places are the same still, and so is where somebody is.
    browser
        .waits_for(
            "the worst comes first",
            &are_kept("table", &["us-prod-1", "eu-prod-1"]),
        )
        .await;
    let is_there = format!("return document.activeElement === {link}");
    assert_eq!(browser.ask(&is_there).await, json!(true));
    browser.comes_to("the page is whole", IS_WHOLE).await;

    // What was drawn bit by bit is what is drawn as a whole.
    let bit_by_bit = browser.map().await;
    for palette in ["dark", "light"] {
        browser.look(WIDE, palette).await;
        browser.map().await;
    }
    assert_eq!(browser.map().await, bit_by_bit);

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

    // What somebody opened or closed in a row stays so while the row changes, and it is the same.
    browser
        .client
        .goto(&at("/clusters/eu-prod-1"))
        .await
        .unwrap();
    browser
        .waits_for(
            "it is live",
            "return 'followed' in document.documentElement.dataset",
        )
        .await;
    browser.ask(&mark("policies")).await;
    let refused = row_of("policies", "team-payments");
    let other = row_of("policies", "everywhere");
    browser
        .ask(&format!(
            "{refused}.open = false; {other}.open = true; {refused}.querySelector('summary').focus()"
        ))
        .await;
    apply(
        &fleet,
        &policy("team-payments", json!([role("theirs", &["list"])])),
        "less",
    )
    .await;
    browser
        .waits_for("the edit is there", &says("policies", "team-payments @3"))
        .await;
    browser
        .waits_for(
            "and what the cluster says of it",
            &says("policies", "ForeignObject"),
        )
        .await;
    let is_kept = browser
        .ask(&format!(
            "return [{refused}.isMarked, {other}.isMarked, !{refused}.open, {other}.open, \
             {refused}.contains(document.activeElement)]"
        ))
        .await;
    assert_eq!(is_kept, json!([true, true, true, true, true]));

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
                "return 'followed' in document.documentElement.dataset",
            )
            .await;
        browser.pictures(name).await;
        browser.comes_to("the page is whole", IS_WHOLE).await;
        browser.comes_to("both say the same", SAYS_THE_SAME).await;
        let stray = browser.ask(STRAY).await;
        assert_eq!(stray, json!([]), "{name}");
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
            "return 'followed' in document.documentElement.dataset",
        )
        .await;
    fleet.restart_publisher().await.unwrap();
    browser.waits_for("it says that it is not live", "return /^not live since \\d\\d:\\d\\d:\\d\\d/.test(document.getElementById('cut').textContent)").await;
    browser.picture("cut-1280-light").await;
    browser.close().await;
    fleet.stop().await.unwrap();
}
