//! The dashboard of a publisher: who may look, what they see, when that ends, and what is recorded of it.

use std::time::Duration;

use serde_json::{Value, json};
use tonic::Code;
use writ_proto::v1::{
    self, access_service_client::AccessServiceClient, ack_service_client::AckServiceClient,
    token_service_client::TokenServiceClient,
};

use crate::{
    access::token,
    audit::read_until,
    fake::{add, apply, cluster, policy},
    fleet::{Fleet, until},
    issuer::{Issuer, Key, now_s, quiet_port},
    web::{Answer, Web},
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'";

const SESSION: &str = "__Host-writ-session";

fn rule(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "writ.dev/v1alpha1", "kind": "AccessRule", "metadata": {"name": name}, "spec": spec})
}

/// A policy of us, in which nobody of eu has a part.
fn of_us(name: &str, group: &str) -> Value {
    let mut manifest = policy(name, group);
    manifest["spec"]["clusters"]["regions"] = json!(["us"]);
    manifest
}

/// A fleet of two regions with a dashboard on which people sign in: alice looks at eu, ursula at us, root at all.
struct Site {
    fleet: Fleet,
    issuer: Issuer,
    port: u16,
}

impl Site {
    async fn start() -> Site {
        let issuer = Issuer::start().await;
        issuer.sign_in("alice", Key::ed25519(), "1");
        let mut fleet = Fleet::start_bus().await;
        let path = fleet.folder.path().join("authentication.yaml");
        let text = format!(
            "issuers:\n- issuer: {}\n  audiences: [writ, writ-dashboard]\n  dashboard: {{clientId: writ-dashboard}}\n",
            issuer.url
        );
        std::fs::write(&path, text).unwrap();
        let port = quiet_port();
        fleet.further_args.extend([
            format!("--authentication-file={}", path.display()),
            format!("--dashboard=127.0.0.1:{port}"),
            format!("--dashboard-url=https://localhost:{port}"),
        ]);
        fleet.start_publisher().await;
        let site = Site {
            fleet,
            issuer,
            port,
        };
        site.fill().await;
        site
    }

    async fn fill(&self) {
        let mut clusters = self.fleet.clusters();
        clusters.add(add(&cluster("eu-prod-1"))).await.unwrap();
        let mut us = cluster("us-prod-1");
        us["spec"]["region"] = "us".into();
        clusters.add(add(&us)).await.unwrap();
        let mut policies = self.fleet.policies();
        policies
            .apply(apply(&policy("payments-eu", "devs")))
            .await
            .unwrap();
        policies
            .apply(apply(&of_us("orders-us", "devs")))
            .await
            .unwrap();
        let mut access = AccessServiceClient::new(self.fleet.channel());
        let viewer = |inlet: &str, user: &str, region: &str| {
            let subjects = json!([{"user": format!("{inlet}:{user}")}]);
            json!({"subjects": subjects, "role": "viewer", "regions": [region]})
        };
        for (name, spec) in [
            ("eu", viewer("oidc", "alice", "eu")),
            ("us", viewer("oidc", "ursula", "us")),
            ("machine", viewer("token", "machine", "eu")),
            (
                "all",
                json!({"subjects": [{"user": "oidc:root"}], "role": "administrator"}),
            ),
        ] {
            access.apply(apply(&rule(name, spec))).await.unwrap();
        }
    }

    fn web(&self) -> Web {
        let ca_file = self.fleet.api.nobody("").ca_file;
        Web::new(([127, 0, 0, 1], self.port).into(), ca_file)
    }

    /// What an issuer answers to a visitor who is sent there: the path that they come back to.
    async fn ask_issuer(&self, place: &str) -> String {
        let rest = place.strip_prefix(&self.issuer.url).expect("the issuer");
        let address = self
            .issuer
            .url
            .trim_start_matches("http://")
            .parse()
            .unwrap();
        let answer = Web::new(address, None).get(rest).await;
        let back = answer
            .place()
            .strip_prefix(&format!("https://localhost:{}", self.port));
        back.expect("the dashboard").to_owned()
    }

    /// The whole way of a person, up to the answer to their coming back.
    async fn come_back(&self, web: &mut Web, person: &str, wanted: &str) -> Answer {
        self.issuer.desk.lock().unwrap().person = person.to_owned();
        let sent = web
            .get(&format!("/sign-in/start?issuer=0&return={wanted}"))
            .await;
        assert_eq!(sent.status, 303, "{sent:?}");
        let back = self.ask_issuer(sent.place()).await;
        web.get(&back).await
    }

    async fn sign_in(&self, person: &str) -> Web {
        let mut web = self.web();
        let answer = self.come_back(&mut web, person, "/policies").await;
        assert_eq!(
            (answer.status, answer.place()),
            (303, "/policies"),
            "{answer:?}"
        );
        assert!(web.cookies.contains_key(SESSION), "{answer:?}");
        web
    }

    async fn sign_in_with(&self, web: &mut Web, token: &str) -> Answer {
        let page = web.get("/sign-in?return=/policies").await;
        let form = format!("form={}&return=/policies&token={token}", page.field("form"));
        web.post("/sign-in/token", &form).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_sees_what_they_may_see_and_nothing_of_anybody_else() {
    let site = Site::start().await;
    let mut nobody = site.web();
    for path in ["/", "/policies", "/clusters/eu-prod-1", "/nowhere"] {
        let answer = nobody.get(path).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(
            answer.place().starts_with("/sign-in?return=%2F"),
            "{answer:?}"
        );
        assert!(!answer.body.contains("prod"), "{answer:?}");
    }
    for path in ["/", "/sign-in", "/assets/who.css", "/nowhere"] {
        let answer = nobody.get(path).await;
        assert_eq!(answer.headers("content-security-policy"), [POLICY]);
        assert_eq!(answer.headers("cache-control"), ["no-store"]);
    }
    let mut stream = nobody.follow("/live/policies").await;
    stream.until("event: over").await;
    assert!(!stream.heard.contains("part"), "{}", stream.heard);

    let (mut alice, mut root) = (site.sign_in("alice").await, site.sign_in("root").await);
    let mut ursula = site.sign_in("ursula").await;
    let page = root.get("/").await;
    for name in [
        "eu-prod-1",
        "us-prod-1",
        "payments-eu",
        "orders-us",
        "oidc:root",
        "Sign out",
    ] {
        assert!(page.body.contains(name), "{name}: {}", page.body);
    }
    assert!(!page.body.contains("a part of the fleet"));
    let edit = page
        .body
        .split("/edits/")
        .find(|rest| rest.contains("policy=orders-us"));
    let edit = format!(
        "/edits/{}",
        edit.unwrap()
            .split('"')
            .next()
            .unwrap()
            .replace("&amp;", "&")
    );
    assert_eq!(root.get(&edit).await.status, 200, "{edit}");

    // Pages, by every address and search, and what they say of who looks.
    for path in [
        "/",
        "/policies",
        "/?q=us",
        "/?region=us",
        "/clusters/eu-prod-1",
        "/policies/payments-eu",
    ] {
        let page = alice.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("oidc:alice") && page.body.contains("viewer of regions eu"));
        assert!(
            !page.body.contains("us-prod") && !page.body.contains("orders-us"),
            "{path}: {}",
            page.body
        );
    }
    assert!(alice.get("/").await.body.contains("eu-prod-1"));
    for path in ["/clusters/us-prod-1", "/policies/orders-us", edit.as_str()] {
        let page = alice.get(path).await;
        let told = page.body.split("<main").nth(1).unwrap();
        assert!(
            page.status != 200 || !told.contains("devs"),
            "{path}: {}",
            page.body
        );
        assert!(!told.contains("us-prod-1<"), "{path}: {}", page.body);
    }
    let page = ursula.get("/").await;
    assert!(
        page.body.contains("us-prod-1") && !page.body.contains("eu-prod-1"),
        "{}",
        page.body
    );

    // Streams: an edit of us, and then one of eu, after which the first one would have been seen.
    let (mut hers, mut all) = (alice.follow("/live/").await, root.follow("/live/").await);
    hers.until("event: beat").await;
    all.until("event: beat").await;
    let mut policies = site.fleet.policies();
    policies
        .apply(apply(&of_us("secrets-us", "devs")))
        .await
        .unwrap();
    policies
        .apply(apply(&policy("later-eu", "devs")))
        .await
        .unwrap();
    all.until("secrets-us").await;
    all.until("later-eu").await;
    hers.until("later-eu").await;
    hers.until("event: beat").await;
    for name in ["us-prod", "orders-us", "secrets-us"] {
        assert!(!hers.heard.contains(name), "{name}: {}", hers.heard);
    }

    // A right that is taken away is gone from pages that are open, and from the next ones.
    let mut access = AccessServiceClient::new(site.fleet.channel());
    let gone = v1::DeleteRequest {
        name: "us".to_owned(),
        ..Default::default()
    };
    let mut open = ursula.follow("/live/").await;
    open.until("us-prod-1").await;
    access.delete(gone).await.unwrap();
    open.until("no access rule is for them").await;
    let page = ursula.get("/").await;
    assert!(
        page.body.contains("no access rule is for them") && !page.body.contains("us-prod-1"),
        "{}",
        page.body
    );

    // Whom no rule is for is told so.
    let mut stranger = site.sign_in("stranger").await;
    let page = stranger.get("/").await;
    assert!(
        page.body.contains("no access rule is for them"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("prod-1"), "{}", page.body);

    // Each call is in the record as theirs.
    let lines = read_until(&site.fleet, "alice's stream", |line| {
        line["user"] == "alice" && line["call"].as_str().unwrap().ends_with("WatchFleet")
    })
    .await;
    let hers = lines.iter().find(|line| line["user"] == "alice").unwrap();
    assert_eq!(
        (&hers["inlet"], &hers["via"]),
        (&json!("oidc"), &json!("dashboard"))
    );
    assert!(hers["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_counts_once_for_the_browser_that_began_it() {
    let site = Site::start().await;
    let start = "/sign-in/start?issuer=0&return=/policies";

    // Another state, no state, and none that was given out.
    let mut web = site.web();
    let back = site.ask_issuer(web.get(start).await.place()).await;
    let (query, _) = back.split_once("&state=").unwrap();
    for wrong in [format!("{query}&state=other"), query.to_owned()] {
        let answer = web.get(&wrong).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(!web.cookies.contains_key(SESSION));
    }
    // Another browser's.
    let mut thief = site.web();
    thief.get("/sign-in").await;
    let answer = thief.get(&back).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    // And by that it was used up.
    assert_eq!(web.get(&back).await.status, 400);

    // Once, and not twice.
    let back = site.ask_issuer(web.get(start).await.place()).await;
    let kept = web.clone();
    assert_eq!(web.get(&back).await.status, 303);
    let mut again = kept.clone();
    assert_eq!(again.get(&back).await.status, 400);
    assert!(!again.cookies.contains_key(SESSION));

    // A code that another's sign-in got: its proof is another one, so that the issuer refuses, and where an issuer does
    // not look at it, the nonce tells.
    for is_lax in [false, true] {
        site.issuer.desk.lock().unwrap().is_lax = is_lax;
        let mut victim = site.web();
        let stolen = site.ask_issuer(victim.get(start).await.place()).await;
        let stolen = stolen
            .split("code=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap()
            .to_owned();
        let mut thief = site.web();
        let own = site.ask_issuer(thief.get(start).await.place()).await;
        let state = own.split("state=").nth(1).unwrap();
        let answer = thief
            .get(&format!("/sign-in/callback?code={stolen}&state={state}"))
            .await;
        assert_eq!(answer.status, 502, "{answer:?}");
        let why = if is_lax {
            "nonce"
        } else {
            "the code is not yours"
        };
        assert!(answer.body.contains(why), "{answer:?}");
        assert!(!thief.cookies.contains_key(SESSION));
    }
    site.issuer.desk.lock().unwrap().is_lax = false;

    // Every exchange brought its proof.
    let forms = site.issuer.desk.lock().unwrap().forms.clone();
    for form in &forms {
        let verifier = form
            .iter()
            .find(|(name, _)| name == "code_verifier")
            .unwrap();
        assert_eq!(verifier.1.len(), 43, "{form:?}");
    }

    // Tokens that are not for this client or this sign-in, or that the API does not take.
    for (name, value, why) in [
        ("nonce", json!("other"), "its `nonce`"),
        ("nonce", Value::Null, "its `nonce`"),
        ("aud", json!("writ"), "its `aud`"),
        ("aud", json!(["writ-dashboard", "elsewhere"]), "its `aud`"),
        ("iss", json!("https://evil.example"), "its `iss`"),
        ("exp", json!(now_s() - 60), "expired"),
        ("sub", json!(""), "sub"),
    ] {
        site.issuer.desk.lock().unwrap().claims =
            [(name.to_owned(), value.clone())].into_iter().collect();
        let mut web = site.web();
        let answer = site.come_back(&mut web, "alice", "/").await;
        assert!(
            matches!(answer.status, 401 | 502),
            "{name}={value}: {answer:?}"
        );
        assert!(answer.body.contains(why), "{name}={value}: {answer:?}");
        assert!(!web.cookies.contains_key(SESSION), "{name}");
    }
    site.issuer.desk.lock().unwrap().claims.clear();
    // One that somebody else signed.
    let mut web = site.web();
    site.issuer.sign_in("alice", Key::ed25519(), "1");
    let answer = site.come_back(&mut web, "alice", "/").await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_does_nothing_that_its_user_did_not_mean() {
    let site = Site::start().await;
    let mut alice = site.sign_in("alice").await;

    // A foreign name that stands for this server gets nothing, neither does one of loopback.
    for host in [
        "evil.example",
        "127.0.0.1",
        "localhost",
        "localhost.evil.example",
    ] {
        let mut foreign = alice.clone();
        foreign.host = host.to_owned();
        assert_eq!(foreign.get("/").await.status, 421, "{host}");
        assert_eq!(foreign.post("/sign-out", "").await.status, 421, "{host}");
    }

    // Sign-out is meant: of this site, by a page of this session.
    let word = alice.get("/").await.field("form");
    let form = format!("form={word}");
    for (headers, form) in [
        (&[("Sec-Fetch-Site", "cross-site")][..], form.as_str()),
        (&[("Sec-Fetch-Site", "same-site")], &form),
        (&[("Origin", "https://evil.example")], &form),
        (&[("Origin", "null")], &form),
        (&[("Sec-Fetch-Site", "same-origin")], ""),
        (&[("Sec-Fetch-Site", "same-origin")], "form=other"),
        (&[], "form=other"),
    ] {
        let answer = alice.clone().send("POST", "/sign-out", headers, form).await;
        assert_eq!(answer.status, 403, "{headers:?} {form}: {answer:?}");
    }
    assert_eq!(alice.clone().get("/sign-out").await.status, 405);
    assert_eq!(alice.get("/").await.status, 200);

    // It ends what other tabs follow, and the cookie is worth nothing afterwards.
    let kept = alice.clone();
    let mut tab = alice.follow("/live/").await;
    tab.until("event: beat").await;
    let out = alice.post("/sign-out", &form).await;
    assert_eq!((out.status, out.place()), (303, "/sign-in?out=1"));
    assert!(!alice.cookies.contains_key(SESSION));
    tab.until("event: over").await;
    assert_eq!(kept.clone().get("/").await.status, 303);
    let mut old = kept.follow("/live/").await;
    old.until("event: over").await;
    assert!(!old.heard.contains("event: part"), "{}", old.heard);

    // A word that somebody else chose is no session, and a sign-in brings another one.
    let mut web = site.web();
    web.cookies.insert(SESSION.to_owned(), "chosen".to_owned());
    assert_eq!(web.get("/").await.status, 303);
    let answer = site.come_back(&mut web, "alice", "/").await;
    let first = web.cookies[SESSION].clone();
    assert_ne!(first, "chosen");
    let cookie = answer
        .headers("set-cookie")
        .into_iter()
        .find(|text| text.starts_with(SESSION))
        .unwrap();
    for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
    let before = web.clone();
    site.come_back(&mut web, "alice", "/").await;
    assert_ne!(web.cookies[SESSION], first);
    assert_eq!(
        before.clone().get("/").await.status,
        303,
        "the one before is over"
    );

    // One leads to pages of this dashboard alone.
    for wanted in [
        "//evil.example",
        "https://evil.example/",
        "/%5Cevil.example",
        "/sign-out",
    ] {
        let mut web = site.web();
        let answer = site.come_back(&mut web, "alice", wanted).await;
        assert_eq!((answer.status, answer.place()), (303, "/"), "{wanted}");
    }

    // A token is taken from a form of this site's page in this browser.
    let token = token(&site.fleet, "machine").await;
    let mut web = site.web();
    let form = format!("return=/&token={token}");
    assert_eq!(web.post("/sign-in/token", &form).await.status, 403);
    let theirs = site.web().get("/sign-in").await.field("form");
    web.get("/sign-in").await;
    let answer = web
        .post("/sign-in/token", &format!("form={theirs}&{form}"))
        .await;
    assert_eq!(answer.status, 403);
    assert!(!web.cookies.contains_key(SESSION));
    for (wrong, status) in [
        ("abc", 401),
        ("writ_st_machine_x", 401),
        ("writ_bg_0123456789", 400),
        ("", 401),
    ] {
        let answer = site.sign_in_with(&mut web, wrong).await;
        assert_eq!(answer.status, status, "{wrong}: {answer:?}");
    }
    let answer = site.sign_in_with(&mut web, &token).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert!(web.get("/").await.body.contains("token:machine"));

    // Nothing of all that is in a log, and no secret in an address.
    let log = site.fleet.log();
    let tokens = site.issuer.desk.lock().unwrap().tokens.clone();
    let signatures = tokens.iter().map(|token| token.rsplit('.').next().unwrap());
    for secret in signatures.chain([first.as_str(), token.as_str()]) {
        assert!(!log.contains(secret), "{secret}");
    }
    assert!(log.contains("signed in to the dashboard"), "{log}");

    // Whoever tries without end is slowed.
    let mut refused = 0;
    for _ in 0..100 {
        refused += u32::from(web.get("/sign-in/start?issuer=9").await.status == 429);
    }
    assert!(refused > 10, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_ends_with_the_credential() {
    let site = Site::start().await;
    let token = token(&site.fleet, "machine").await;
    let line = || {
        site.fleet
            .channel_of(&site.fleet.api.nobody(""), Some(&token))
    };
    let mut acks = AckServiceClient::new(line());
    let mut direct = acks
        .watch_fleet(v1::FleetRequest {})
        .await
        .unwrap()
        .into_inner();
    direct.message().await.unwrap().expect("lines");
    let mut web = site.web();
    assert_eq!(site.sign_in_with(&mut web, &token).await.status, 303);
    let mut tab = web.follow("/live/").await;
    tab.until("eu-prod-1").await;

    // A service token that is revoked.
    let revoke = v1::RevokeTokenRequest {
        name: "machine".to_owned(),
        ..Default::default()
    };
    let mut tokens = TokenServiceClient::new(site.fleet.channel());
    tokens.revoke_token(revoke).await.unwrap();
    let ended = until("the stream ends", async || direct.message().await.err()).await;
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
    tab.until("event: over").await;
    assert_eq!(web.get("/").await.status, 303);

    // A token that expires: the session with it, and a stream of the API when no skew explains it any more.
    site.issuer.desk.lock().unwrap().lifetime_s = 4;
    let mut web = site.sign_in("alice").await;
    let mut tab = web.follow("/live/").await;
    tab.until("eu-prod-1").await;
    tab.until("event: over").await;
    assert!(
        tab.heard.contains("data: /sign-in?return=%2F"),
        "{}",
        tab.heard
    );
    let answer = web.get("/policies").await;
    assert_eq!(
        (answer.status, answer.place()),
        (303, "/sign-in?return=%2Fpolicies")
    );

    let key = Key::ed25519();
    site.issuer.publish(vec![key.public("2")]);
    let mut claims = site.issuer.claims();
    claims["exp"] = json!(now_s() - 26);
    let old = key.token("2", &claims);
    let mut acks = AckServiceClient::new(
        site.fleet
            .channel_of(&site.fleet.api.nobody(""), Some(&old)),
    );
    let mut direct = acks
        .watch_fleet(v1::FleetRequest {})
        .await
        .unwrap()
        .into_inner();
    let begun = std::time::Instant::now();
    let ended = until("the stream ends", async || direct.message().await.err()).await;
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}
