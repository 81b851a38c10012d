//! Sign-in in a real browser, at an issuer of the test's own: what somebody sees, how they leave, and what becomes of a
//! page whose session is over.

use std::{os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};
use writ_proto::v1::{
    AddClusterRequest, ApplyRequest, CreateTokenRequest, RevokeTokenRequest,
    access_service_client::AccessServiceClient, cluster_service_client::ClusterServiceClient,
    policy_service_client::PolicyServiceClient, token_service_client::TokenServiceClient,
};
use writ_tests::hub::{self, Hub, Size};

use crate::{
    browser::{Browser, WIDE},
    issuer::{Issuer, Key, quiet_port},
    says,
};

fn manifest(manifest: &Value) -> ApplyRequest {
    ApplyRequest {
        manifest: manifest.to_string(),
        ..ApplyRequest::default()
    }
}

/// Two clusters, two policies, and alice, who looks at eu alone.
async fn fill(hub: &Hub) {
    let channel = hub.channel(0);
    let mut clusters = ClusterServiceClient::new(channel.clone());
    for region in ["eu", "us"] {
        let mut entry = hub::cluster(&format!("{region}-prod-1"));
        entry["spec"]["region"] = region.into();
        let request = AddClusterRequest {
            manifest: entry.to_string(),
            ..AddClusterRequest::default()
        };
        clusters.add(request).await.unwrap();
        let mut policy = hub::policy(&format!("payments-{region}"), "devs");
        policy["spec"]["clusters"]["regions"] = json!([region]);
        let mut policies = PolicyServiceClient::new(channel.clone());
        policies.apply(manifest(&policy)).await.unwrap();
    }
    let rule = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "AccessRule", "metadata": {"name": "eu"},
        "spec": {"subjects": [{"user": "oidc:alice"}], "role": "viewer", "regions": ["eu"]},
    });
    let mut access = AccessServiceClient::new(channel);
    access.apply(manifest(&rule)).await.unwrap();
}

/// `writ dashboard` of somebody with a token: when it is over the pages say so, and with another one they go on.
async fn alone(hub: &Hub, browser: &Browser, folder: &Path) {
    let mut tokens = TokenServiceClient::new(hub.channel(0));
    let mut create = async |name: &str| {
        let request = CreateTokenRequest {
            name: name.to_owned(),
            lifetime_s: 600,
            ..CreateTokenRequest::default()
        };
        tokens
            .create_token(request)
            .await
            .unwrap()
            .into_inner()
            .token
    };
    let (first, second) = (create("first").await, create("second").await);
    let file = folder.join("token");
    let keep = |token: &str| {
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    };
    keep(&first);
    let fleet = hub.api().nobody(&hub.address(0));
    let fleet_file = folder.join("fleet.yaml");
    std::fs::write(&fleet_file, fleet.to_text()).unwrap();
    let mut access = AccessServiceClient::new(hub.channel(0));
    let subjects = json!([{"user": "token:first"}, {"user": "token:second"}]);
    let rule = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "AccessRule", "metadata": {"name": "us"},
        "spec": {"subjects": subjects, "role": "viewer", "regions": ["us"]},
    });
    access.apply(manifest(&rule)).await.unwrap();

    let mut served = Command::new(env!("CARGO_BIN_EXE_writ-under-test"))
        .args(["dashboard", "--listen", "127.0.0.1:0", "--fleet"])
        .arg(&fleet_file)
        .arg("--token-file")
        .arg(&file)
        .env("WRIT_CONFIG_DIR", folder.join("config"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(served.stdout.take().unwrap()).lines();
    let own = lines.next_line().await.unwrap().expect("its address");
    browser.client.goto(&own).await.unwrap();
    let sees = |name: &str| {
        format!("return document.getElementById('main').textContent.includes({name:?})")
    };
    browser
        .waits_for("it says who looks", &says("who", "token:first"))
        .await;
    browser
        .waits_for("and shows their part", &sees("us-prod-1"))
        .await;
    assert_eq!(browser.ask(&sees("eu-prod-1")).await, json!(false));

    let revoke = RevokeTokenRequest {
        name: "first".to_owned(),
        ..RevokeTokenRequest::default()
    };
    let mut tokens = TokenServiceClient::new(hub.channel(0));
    tokens.revoke_token(revoke).await.unwrap();
    browser
        .waits_for(
            "it says that its time is over",
            &says("refused", "not signed in any more"),
        )
        .await;
    browser.picture("over-1280-light").await;
    keep(&second);
    browser
        .waits_for(
            "it goes on with the next one",
            "return document.getElementById('refused').textContent === ''",
        )
        .await;
    browser
        .waits_for(
            "and is live",
            "return 'followed' in document.documentElement.dataset",
        )
        .await;
    served.kill().await.unwrap();
    browser.client.goto("about:blank").await.unwrap();
    browser.complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_sees_their_part_signs_out_and_is_led_back_when_their_time_is_over() {
    let issuer = Issuer::start().await;
    issuer.sign_in("alice", Key::ed25519(), "1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authentication.yaml");
    let text = format!(
        "issuers:\n- issuer: {}\n  audiences: [writ-dashboard]\n  dashboard: {{clientId: writ-dashboard}}\n",
        issuer.url
    );
    std::fs::write(&path, text).unwrap();
    let port = quiet_port();
    let base = format!("https://localhost:{port}");
    let mut size = Size::of(1, 1);
    size.publisher_flags = vec![
        ("authentication-file", path.display().to_string()),
        ("dashboard", format!("127.0.0.1:{port}")),
        ("dashboard-url", base.clone()),
    ];
    let hub = Hub::start(env!("CARGO_BIN_EXE_writ-under-test"), size).await;
    fill(&hub).await;
    let browser = Browser::start(folder.path()).await;
    browser.look(WIDE, "light").await;

    // Whoever follows a link is asked first, and gets there.
    browser
        .client
        .goto(&format!("{base}/clusters/eu-prod-1"))
        .await
        .unwrap();
    let at = |path: &str| format!("return location.pathname + location.search === {path:?}");
    browser
        .waits_for(
            "they are asked who they are",
            &at("/sign-in?return=%2Fclusters%2Feu-prod-1"),
        )
        .await;
    browser.pictures("sign-in").await;
    let nameless = browser.nameless().await;
    assert!(nameless.is_empty(), "{nameless:#?}");
    browser.look(WIDE, "light").await;
    browser.ask("document.querySelector('.way').click()").await;
    browser
        .waits_for(
            "they are where they wanted to go",
            &at("/clusters/eu-prod-1"),
        )
        .await;
    browser
        .waits_for("it says who they are", &says("who", "oidc:alice"))
        .await;
    browser
        .waits_for("and what they see", &says("who", "viewer of regions eu"))
        .await;
    browser
        .waits_for(
            "no script can read the cookie",
            "return document.cookie === ''",
        )
        .await;

    // The first page, its stream included, is of their part alone.
    browser.client.goto(&format!("{base}/")).await.unwrap();
    browser
        .waits_for(
            "it is live",
            "return 'followed' in document.documentElement.dataset",
        )
        .await;
    browser
        .waits_for(
            "their cluster is there",
            "return document.body.textContent.includes('eu-prod-1')",
        )
        .await;
    let others = "return document.documentElement.outerHTML.includes('us-prod-1') || document.documentElement.outerHTML.includes('payments-us')";
    assert_eq!(browser.ask(others).await, json!(false));
    browser.pictures("signed-in").await;
    browser.look(WIDE, "light").await;
    browser
        .client
        .goto(&format!("{base}/clusters/us-prod-1"))
        .await
        .unwrap();
    browser
        .waits_for("the other's is not there", &says("main", "Not found"))
        .await;

    // They leave, and the way back is closed.
    browser.client.goto(&format!("{base}/")).await.unwrap();
    browser
        .ask("document.querySelector('#who button').click()")
        .await;
    browser
        .waits_for("they are out", &at("/sign-in?out=1"))
        .await;
    browser.client.back().await.unwrap();
    browser
        .waits_for(
            "nothing is shown any more",
            "return location.pathname === '/sign-in'",
        )
        .await;

    // Their time is over while a page is open: it leads back to where one signs in, and from there to itself.
    issuer.desk.lock().unwrap().lifetime_s = 5;
    browser
        .client
        .goto(&format!("{base}/policies"))
        .await
        .unwrap();
    browser.ask("document.querySelector('.way').click()").await;
    browser
        .waits_for("they are in again", &at("/policies"))
        .await;
    browser
        .waits_for("they are led back", &at("/sign-in?return=%2Fpolicies"))
        .await;
    issuer.desk.lock().unwrap().lifetime_s = 600;
    browser.ask("document.querySelector('.way').click()").await;
    browser
        .waits_for("and are in again", &at("/policies"))
        .await;
    browser
        .waits_for("as themselves", &says("who", "oidc:alice"))
        .await;
    let complaints = browser.complaints().await;
    // A page that is not there is one.
    let complaints: Vec<&Value> = complaints
        .iter()
        .filter(|line| !line["message"].as_str().unwrap_or_default().contains("404"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    alone(&hub, &browser, folder.path()).await;
    browser.close().await;
}
