//! The gate of the API, on real sockets: who is let in as whom, who is not, and what is refused early.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, Status};
use writ_proto::v1::{self, identity_service_client::IdentityServiceClient};
use writ_sandbox::api::ApiKeys;

use crate::{
    fake::{apply, policy},
    fleet::{DEADLINE, Fleet, Line},
    issuer::{Issuer, Key, now_s, unsigned},
};

/// A fleet whose publisher takes the tokens of an issuer, and of a platform's pipelines.
async fn start(issuer: &Issuer) -> Fleet {
    let mut fleet = Fleet::start_bus().await;
    let path = fleet.folder.path().join("authentication.yaml");
    let text = format!(
        "issuers:\n- issuer: {}\n  audiences: [writ]\n  groupsClaim: groups\n",
        issuer.url
    );
    std::fs::write(&path, text).unwrap();
    let argument = format!("--authentication-file={}", path.display());
    fleet.further_args.push(argument);
    fleet.start_publisher().await;
    fleet
}

async fn who_am_i(line: Line) -> Result<v1::WhoAmIResponse, Status> {
    let mut client = IdentityServiceClient::new(line);
    let call = client.who_am_i(v1::WhoAmIRequest {});
    let answer = timeout(DEADLINE, call).await.expect("an answer in time");
    answer.map(tonic::Response::into_inner)
}

async fn show(fleet: &Fleet, token: &str) -> Result<v1::WhoAmIResponse, Status> {
    let nobody = fleet.api.nobody("");
    who_am_i(fleet.channel_of(&nobody, Some(token))).await
}

/// Alice's claims, with one of them otherwise; null takes it out.
fn with(issuer: &Issuer, name: &str, value: Value) -> Value {
    let mut claims = issuer.claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_token_of_each_algorithm_is_taken_and_each_wrong_neighbour_is_refused() {
    let issuer = Issuer::start().await;
    let (rsa, p256, ed25519) = (Key::rsa(), Key::p256(), Key::ed25519());
    issuer.publish(vec![rsa.public("r"), p256.public("p"), ed25519.public("e")]);
    let fleet = start(&issuer).await;
    for (key, id) in [(&rsa, "r"), (&p256, "p"), (&ed25519, "e")] {
        let found = show(&fleet, &key.token(id, &issuer.claims()))
            .await
            .unwrap();
        assert_eq!(
            (found.inlet.as_str(), found.user.as_str()),
            ("oidc", "alice")
        );
        // What only the fleet's own authorities give out is left out of what an issuer says.
        assert_eq!(found.groups, ["devs"]);
    }

    let claims = issuer.claims();
    let stranger = Key::ed25519();
    let public = rsa.public("r").to_string();
    let hs256 = json!({"alg": "HS256", "kid": "r"});
    let mac = {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
        let text = unsigned(&hs256, &claims);
        let tag = ring::hmac::sign(&key, text.as_bytes());
        use base64::Engine as _;
        let tag = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag);
        format!("{text}.{tag}")
    };
    let good = ed25519.token("e", &claims);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let other = unsigned(
        &json!({"alg": "EdDSA", "kid": "e"}),
        &with(&issuer, "sub", json!("root")),
    );
    let refused = [
        (
            "another audience",
            ed25519.token("e", &with(&issuer, "aud", json!("other"))),
            "audience",
        ),
        (
            "no audience",
            ed25519.token("e", &with(&issuer, "aud", Value::Null)),
            "audience",
        ),
        (
            "another issuer",
            ed25519.token("e", &with(&issuer, "iss", json!("https://evil.example"))),
            "not configured",
        ),
        (
            "no issuer",
            ed25519.token("e", &with(&issuer, "iss", Value::Null)),
            "not configured",
        ),
        (
            "expired",
            ed25519.token("e", &with(&issuer, "exp", json!(now_s() - 60))),
            "expired",
        ),
        (
            "without end",
            ed25519.token("e", &with(&issuer, "exp", Value::Null)),
            "`exp`",
        ),
        (
            "not yet",
            ed25519.token("e", &with(&issuer, "nbf", json!(now_s() + 600))),
            "not valid yet",
        ),
        (
            "without a name",
            ed25519.token("e", &with(&issuer, "sub", Value::Null)),
            "`sub`",
        ),
        (
            "a name that moves a cursor",
            ed25519.token("e", &with(&issuer, "sub", json!("a\u{1b}[2J"))),
            "`sub`",
        ),
        (
            "none",
            format!("{}.", unsigned(&json!({"alg": "none"}), &claims)),
            "`none`",
        ),
        ("the public key as a secret", mac, "`HS256`"),
        (
            "another's key under a known id",
            stranger.token("e", &claims),
            "signature",
        ),
        (
            "another algorithm under a known id",
            ed25519.token("r", &claims),
            "signature",
        ),
        (
            "an unknown id",
            stranger.token("x", &claims),
            "does not have",
        ),
        (
            "other claims under the same signature",
            format!("{other}.{signature}"),
            "signature",
        ),
        ("no signature", format!("{head}."), "signature"),
        ("no token", "abc".to_owned(), "no signed token"),
        (
            "critical, and not understood",
            ed25519.token_with(
                &json!({"alg": "EdDSA", "kid": "e", "crit": ["b64"], "b64": false}),
                &claims,
            ),
            "no signed token",
        ),
    ];
    for (what, token, why) in refused {
        let status = show(&fleet, &token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{what}: {status:?}");
        assert!(status.message().contains(why), "{what}: {status:?}");
        assert!(!status.message().contains(&token), "{what}");
        let mut policies = writ_proto::v1::policy_service_client::PolicyServiceClient::new(
            fleet.channel_of(&fleet.api.nobody(""), Some(&token)),
        );
        let status = policies
            .apply(apply(&policy("payments", "devs")))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{what}: {status:?}");
    }
    // Nothing of a token ends in the log of a process.
    assert!(!fleet.log().contains(head), "{}", fleet.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_found_and_unknown_ones_do_not_make_a_publisher_ask_all_the_time() {
    let issuer = Issuer::start().await;
    let (old, new) = (Key::p256(), Key::p256());
    issuer.publish(vec![old.public("1")]);
    let fleet = start(&issuer).await;
    show(&fleet, &old.token("1", &issuer.claims()))
        .await
        .unwrap();
    issuer.publish(vec![new.public("2")]);
    show(&fleet, &new.token("2", &issuer.claims()))
        .await
        .unwrap();
    // The old one is gone with the set that it was in.
    let status = show(&fleet, &old.token("1", &issuer.claims()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    for number in 0..50 {
        let token = old.token(&format!("unknown-{number}"), &issuer.claims());
        let status = show(&fleet, &token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    assert!(issuer.fetches() <= 8, "{}", issuer.fetches());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipelines_token_counts_only_from_the_repository_and_branch_that_are_named() {
    let issuer = Issuer::start().await;
    let key = Key::ed25519();
    issuer.publish(vec![key.public("1")]);
    let mut fleet = Fleet::start_bus().await;
    let path = fleet.folder.path().join("authentication.yaml");
    let text = format!(
        "issuers:\n- issuer: {}\n  audiences: [writ]\n  userPrefix: 'ci:'\n  groups: [pipelines]\n  conditions:\n  - repository: [org/policies]\n    ref: [refs/heads/main]\n",
        issuer.url
    );
    std::fs::write(&path, text).unwrap();
    let argument = format!("--authentication-file={}", path.display());
    fleet.further_args.push(argument);
    fleet.start_publisher().await;
    let token = |repository: &str, branch: &str| {
        let mut claims = issuer.claims();
        claims["repository"] = repository.into();
        claims["ref"] = branch.into();
        key.token("1", &claims)
    };
    let found = show(&fleet, &token("org/policies", "refs/heads/main"))
        .await
        .unwrap();
    assert_eq!(found.user, "ci:alice");
    assert_eq!(found.groups, ["pipelines"]);
    for (repository, branch, claim) in [
        ("org/policies", "refs/heads/other", "`ref`"),
        ("fork/policies", "refs/heads/main", "`repository`"),
    ] {
        let status = show(&fleet, &token(repository, branch)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains(claim), "{status:?}");
    }
    let status = show(&fleet, &key.token("1", &issuer.claims()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_authority_says_who_one_is_and_no_other_does() {
    let fleet = Fleet::start().await;
    let robot = fleet.api.user("robot", Some("machines")).unwrap();
    let found = who_am_i(fleet.channel_of(&robot, None)).await.unwrap();
    assert_eq!(
        (found.inlet.as_str(), found.user.as_str()),
        ("mtls", "robot")
    );
    assert_eq!(found.groups, ["machines"]);

    let status = who_am_i(fleet.channel_of(&fleet.api.nobody(""), None))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("writ login"), "{status:?}");

    let elsewhere = tempfile::tempdir().unwrap();
    let others = ApiKeys::make(elsewhere.path()).unwrap();
    let mut forged = others.user("robot", Some("writ:administrators")).unwrap();
    forged.ca_file = robot.ca_file.clone();
    let expired = fleet.api.former_user("former").unwrap();
    for shown in [&forged, &expired] {
        let status = who_am_i(fleet.channel_of(shown, None)).await.unwrap_err();
        // The server's words may be lost with the connection; that there was no answer may not.
        let said = writ_connect::tls::is_refused(&status);
        assert!(
            said || std::error::Error::source(&status).is_some(),
            "{status:?}"
        );
    }
    // Whoever asks believes no other server either.
    let mut misled = robot.clone();
    misled.ca_file = others.nobody("").ca_file;
    let status = who_am_i(fleet.channel_of(&misled, None)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_break_glass_token_lets_in_loudly_and_nothing_like_it_does() {
    let mut fleet = Fleet::start_bus().await;
    let token = "writ_bg_0123456789abcdefghijklmnopqrstuvwxyz";
    let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let hash: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let path = fleet.folder.path().join("break-glass");
    std::fs::write(&path, hash).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    fleet
        .further_args
        .push(format!("--break-glass-file={}", path.display()));
    fleet.start_publisher().await;
    let found = show(&fleet, token).await.unwrap();
    assert_eq!(found.inlet, "break-glass");
    assert!(fleet.log().contains("BREAK-GLASS"), "{}", fleet.log());
    assert!(!fleet.log().contains(token), "{}", fleet.log());
    let status = show(&fleet, &token[..token.len() - 1]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_and_says_nothing_is_gone_and_what_is_too_large_is_refused() {
    let fleet = Fleet::start().await;
    let mut silent = TcpStream::connect(fleet.address()).await.unwrap();
    let mut garbage = TcpStream::connect(fleet.address()).await.unwrap();
    garbage
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let ended = timeout(DEADLINE, garbage.read_to_end(&mut rest)).await;
    ended.expect("no plaintext is spoken").ok();

    let huge = v1::ApplyRequest {
        manifest: "x".repeat(2 * 1024 * 1024),
        ..Default::default()
    };
    let status = fleet.policies().apply(huge).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    let question = v1::ListEditsRequest {
        name: "x".repeat(128 * 1024),
        ..Default::default()
    };
    let status = fleet.history().list_edits(question).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");

    let nobody = fleet.api.nobody("");
    let long = "a".repeat(64 * 1024);
    who_am_i(fleet.channel_of(&nobody, Some(&long)))
        .await
        .unwrap_err();
    // It goes on with everybody else all the while.
    who_am_i(fleet.channel_of(&fleet.api.administrator(""), None))
        .await
        .unwrap();

    let ended = timeout(Duration::from_secs(10), silent.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_who_calls_without_end_is_slowed_and_others_are_not() {
    let mut fleet = Fleet::start_bus().await;
    fleet.further_args.push("--calls-per-second=5".to_owned());
    fleet.start_publisher().await;
    let robot = fleet.api.user("robot", None).unwrap();
    let line = fleet.channel_of(&robot, None);
    let mut refused = None;
    for _ in 0..200 {
        if let Err(status) = who_am_i(line.clone()).await {
            refused = Some(status);
            break;
        }
    }
    let status = refused.expect("a limit");
    assert_eq!(status.code(), Code::ResourceExhausted);
    who_am_i(fleet.channel_of(&fleet.api.administrator(""), None))
        .await
        .unwrap();
}
