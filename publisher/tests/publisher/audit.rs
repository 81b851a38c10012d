//! The record of every call: who, what, what came of it; what is denied, too.

use serde_json::{Value, json};
use tonic::Code;
use writ_proto::{
    audit::Chains,
    v1::{
        self, audit_service_client::AuditServiceClient, token_service_client::TokenServiceClient,
    },
};

use crate::{
    fake::{add, apply, cluster, policy},
    fleet::{Fleet, Line, until},
    web::Web,
};

async fn read(fleet: &Fleet) -> Vec<String> {
    let mut client = AuditServiceClient::new(fleet.channel());
    let request = v1::ReadAuditRequest::default();
    let mut parts = client.read_audit(request).await.unwrap().into_inner();
    let mut lines = Vec::new();
    while let Some(part) = parts.message().await.unwrap() {
        lines.extend(part.lines);
    }
    lines
}

/// The record, once a line fits.
pub(crate) async fn read_until(
    fleet: &Fleet,
    what: &str,
    fits: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    until(what, async || {
        let lines = read(fleet).await;
        let mut chains = Chains::default();
        for line in &lines {
            chains.take(line).unwrap();
        }
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        lines.iter().any(&fits).then_some(lines)
    })
    .await
}

pub(crate) fn of<'a>(lines: &'a [Value], call: &str) -> Vec<&'a Value> {
    let is_of = |line: &&Value| line["call"].as_str().unwrap().ends_with(call);
    lines.iter().filter(is_of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_recorded_in_one_chain_over_restarts_and_denied_ones_are_too() {
    let mut fleet = Fleet::start().await;
    fleet
        .clusters()
        .add(add(&cluster("eu-prod-1")))
        .await
        .unwrap();
    let mut request = apply(&policy("payments", "devs"));
    request.request_id = "the-first".into();
    let edit = fleet.policies().apply(request).await.unwrap().into_inner();
    let mut stale = apply(&policy("payments", "others"));
    stale.base_generation = Some(7);
    let status = fleet.policies().apply(stale).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    let nobody = fleet.api.nobody("");
    let line: Line = fleet.channel_of(&nobody, Some("abc"));
    let mut policies = v1::policy_service_client::PolicyServiceClient::new(line);
    policies
        .apply(apply(&policy("orders", "devs")))
        .await
        .unwrap_err();

    let lines = read_until(&fleet, "the denied call", |line| {
        line["outcome"] == "unauthenticated"
    })
    .await;
    let applied = of(&lines, "PolicyService/Apply");
    assert_eq!(applied.len(), 3, "{applied:?}");
    let first = applied[0];
    assert_eq!(
        (
            &first["outcome"],
            &first["user"],
            &first["inlet"],
            &first["name"],
            &first["requestId"]
        ),
        (
            &"ok".into(),
            &"sandbox-admin".into(),
            &"mtls".into(),
            &"payments".into(),
            &"the-first".into()
        )
    );
    assert_eq!(first["generation"], edit.generation);
    assert_eq!(first["revision"], "2");
    assert!(first["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(
        (&applied[1]["outcome"], &applied[1]["name"]),
        (&"aborted".into(), &"payments".into())
    );
    assert_eq!(applied[2]["outcome"], "unauthenticated");
    assert!(applied[2]["user"].is_null());
    // The reading itself is recorded.
    assert!(!of(&lines, "AuditService/ReadAudit").is_empty() || lines.len() < 6);

    let number = lines.len() as u64;
    fleet.restart_publisher().await;
    let lines = read_until(&fleet, "the next publisher's lines", |line| {
        line["number"].as_u64().unwrap() > number
    })
    .await;
    assert_eq!(lines[0]["number"], 1);

    // Who is no administrator does not read it.
    let robot = fleet.api.user("robot", Some("machines")).unwrap();
    let mut client = AuditServiceClient::new(fleet.channel_of(&robot, None));
    let status = client
        .read_audit(v1::ReadAuditRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_denied_calls_is_counted_and_does_not_fill_the_record() {
    let fleet = Fleet::start().await;
    let nobody = fleet.api.nobody("");
    let line: Line = fleet.channel_of(&nobody, Some("abc"));
    for _ in 0..2_000 {
        let mut client = v1::identity_service_client::IdentityServiceClient::new(line.clone());
        client.who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
    }
    let lines = read_until(&fleet, "the count", |line| line["count"].as_u64() > Some(0)).await;
    let single = of(&lines, "WhoAmI").len() as u64;
    let counted: u64 = lines.iter().filter_map(|line| line["count"].as_u64()).sum();
    assert!(single < 1_500, "{single}");
    assert!(single + counted <= 2_000, "{single} + {counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_token_is_shown_once_and_revoked_at_once() {
    let fleet = Fleet::start().await;
    let mut tokens = TokenServiceClient::new(fleet.channel());
    let request = v1::CreateTokenRequest {
        name: "ci".into(),
        groups: vec!["pipelines".into()],
        lifetime_s: 3600,
        reason: "for the pipeline".into(),
    };
    let made = tokens
        .create_token(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(made.token.starts_with("writ_st_ci_"), "{}", made.token);
    // The name has one already.
    let status = tokens.create_token(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status:?}");
    for (groups, lifetime_s) in [(vec!["writ:administrators".to_owned()], 3600), (vec![], 1)] {
        let wrong = v1::CreateTokenRequest {
            name: "other".into(),
            groups,
            lifetime_s,
            ..request.clone()
        };
        let status = tokens.create_token(wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }

    let nobody = fleet.api.nobody("");
    let who_am_i = async |token: &str| {
        let line = fleet.channel_of(&nobody, Some(token));
        let mut client = v1::identity_service_client::IdentityServiceClient::new(line);
        let answer = client.who_am_i(v1::WhoAmIRequest {}).await;
        answer.map(tonic::Response::into_inner)
    };
    let found = who_am_i(&made.token).await.unwrap();
    assert_eq!((found.inlet.as_str(), found.user.as_str()), ("token", "ci"));
    assert_eq!(found.groups, ["pipelines"]);
    let listed = tokens
        .list_tokens(v1::ListTokensRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.tokens.len(), 1);
    assert_eq!(listed.tokens[0].author, "mtls:sandbox-admin");
    let text = format!("{listed:?}");
    assert!(!text.contains(&made.token), "{text}");
    let mut last = made.token.clone();
    let wrong = if last.ends_with('A') { "B" } else { "A" };
    last.replace_range(last.len() - 1.., wrong);
    for wrong in [
        last.as_str(),
        "writ_st_ci_",
        "writ_st_other_abc",
        "writ_st_",
    ] {
        let status = who_am_i(wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{wrong}");
    }
    // A bearer of a token gives out no others.
    let line = fleet.channel_of(&nobody, Some(&made.token));
    let status = TokenServiceClient::new(line)
        .create_token(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    let revoke = v1::RevokeTokenRequest {
        name: "ci".into(),
        reason: "it leaked".into(),
    };
    tokens.revoke_token(revoke).await.unwrap();
    let status = who_am_i(&made.token).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let lines = read_until(&fleet, "the revocation", |line| {
        line["call"].as_str().unwrap().ends_with("RevokeToken")
    })
    .await;
    let created = of(&lines, "CreateToken");
    assert_eq!(
        (&created[0]["outcome"], &created[0]["name"]),
        (&"ok".into(), &"ci".into())
    );
    // The secret is in no record, and in no log.
    let text = serde_json::to_string(&lines).unwrap();
    assert!(!text.contains(&made.token) && !fleet.log().contains(&made.token));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_dashboard_is_in_the_record_and_does_not_fill_it() {
    let mut fleet = Fleet::start_bus().await;
    let file = fleet.folder.path().join("dashboard");
    fleet.further_args.extend([
        "--dashboard=127.0.0.1:0".to_owned(),
        format!("--dashboard-address-file={}", file.display()),
    ]);
    fleet.start_publisher().await;
    fleet
        .clusters()
        .add(add(&cluster("eu-prod-1")))
        .await
        .unwrap();
    fleet
        .policies()
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    let address = until("its address", async || {
        std::fs::read_to_string(&file).ok()?.trim().parse().ok()
    })
    .await;
    let mut web = Web::new(address, None);
    for _ in 0..20 {
        let page = web.get("/policies/payments").await;
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains("no sign-in"), "{page:?}");
    }
    assert_eq!(web.get("/sign-in").await.status, 404);
    assert_eq!(web.post("/sign-out", "").await.status, 404);
    let is_page = |line: &Value| line["via"] == "dashboard";
    let lines = read_until(&fleet, "the page's calls", |line| {
        is_page(line) && line["call"].as_str().unwrap().ends_with("GetStatus")
    })
    .await;
    let pages: Vec<&Value> = lines.iter().filter(|line| is_page(line)).collect();
    assert!(pages.len() <= 12, "{}: {pages:#?}", pages.len());
    for line in &pages {
        assert_eq!(
            (&line["inlet"], &line["user"]),
            (&json!("dashboard"), &json!("local"))
        );
        assert_eq!(line["peer"], address.to_string());
    }
    assert_eq!(of(&lines, "WatchFleet").len(), 1);
    // How often it asked is told at the end.
    assert!(fleet.end_publisher().await.success());
    fleet.start_publisher().await;
    let lines = read_until(&fleet, "the number", |line| {
        line["count"].as_u64() >= Some(19)
    })
    .await;
    let counted = lines
        .iter()
        .find(|line| line["count"].as_u64() >= Some(19))
        .unwrap();
    assert_eq!(
        (&counted["name"], &counted["via"]),
        (&json!("payments"), &json!("dashboard"))
    );
}
