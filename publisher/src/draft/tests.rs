//! Edits judged in their batch: rights, guards, proposals. The log is one that nobody else writes.

use serde_json::{Value, json};
use writ_core::{
    access::{Identity, Inlet, NotApproved},
    edit::Message,
    tracker::read_manifest,
};
use writ_proto::v1;

use super::*;
use crate::{accept, validate::validate};

mod lives;

const NOW_MS: u64 = 1_000_000;

fn who(user: &str) -> Identity {
    Identity {
        inlet: Inlet::Oidc,
        user: user.to_owned(),
        groups: [].into(),
    }
}

fn glass() -> Identity {
    Identity {
        inlet: Inlet::BreakGlass,
        ..who("glass")
    }
}

fn document(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    })
}

fn administrator(name: &str, user: &str) -> Value {
    let subjects = json!([{"user": format!("oidc:{user}")}]);
    document(
        "AccessRule",
        name,
        json!({"subjects": subjects, "role": "administrator"}),
    )
}

/// Alice and bob edit what is in eu and prod.
fn editors() -> Value {
    document(
        "AccessRule",
        "editors",
        json!({
            "subjects": [{"user": "oidc:alice"}, {"user": "oidc:bob"}], "role": "editor",
            "regions": ["eu"], "stages": ["prod"],
            "mayGrant": {"clusterRoles": ["view"], "clusterWide": true, "subjects": {"groups": ["*"]}},
        }),
    )
}

fn policy(name: &str, groups: &[&str]) -> Value {
    let subjects: Vec<Value> = groups.iter().map(|group| json!({"group": group})).collect();
    document(
        "ClusterPolicy",
        name,
        json!({
            "clusters": {"regions": ["eu"], "stages": ["prod"]},
            "grants": [{"name": "g", "subjects": subjects, "clusterRole": "view", "clusterWide": true}],
        }),
    )
}

fn cluster(name: &str) -> Value {
    document("Cluster", name, json!({"region": "eu", "stage": "prod"}))
}

fn apply(manifest: &Value) -> v1::ApplyRequest {
    v1::ApplyRequest {
        manifest: manifest.to_string(),
        ..v1::ApplyRequest::default()
    }
}

fn delete(name: &str) -> v1::DeleteRequest {
    v1::DeleteRequest {
        name: name.to_owned(),
        ..v1::DeleteRequest::default()
    }
}

/// An edit that somebody wants.
fn applied(by: &Identity, request: v1::ApplyRequest) -> Validated {
    let kind = match &request.manifest {
        text if text.contains("\"ClusterPolicy\"") => Kind::Policy,
        text if text.contains("\"Cluster\"") => Kind::Cluster,
        _ => Kind::Access,
    };
    validate(accept::apply(kind, request, by).unwrap()).unwrap()
}

fn deleted(by: &Identity, kind: Kind, request: v1::DeleteRequest) -> Validated {
    validate(accept::delete(kind, request, by).unwrap()).unwrap()
}

#[derive(Clone, Default)]
struct Log {
    view: View,
    administrators: Administrators,
    now_ms: u64,
}

impl Log {
    /// A log with these documents, which a break-glass administrator put there.
    fn of(documents: &[Value]) -> Log {
        let mut log = Log {
            now_ms: NOW_MS,
            ..Log::default()
        };
        for document in documents {
            log.make(&glass_applies(document)).unwrap();
        }
        log
    }

    /// What becomes of edits that come in one batch.
    fn batch(&mut self, edits: &[Validated]) -> Vec<Result<Answer, EditError>> {
        let view = self.view.clone();
        let mut draft = Draft::new(&view.state, &view, &self.administrators, self.now_ms);
        let answers = edits
            .iter()
            .map(|edit| match draft.take(edit, None, false) {
                Verdict::Now(answer) | Verdict::IfCurrent(answer) => answer,
                Verdict::Later => panic!("it waits for the next batch"),
            });
        let answers = answers.collect();
        if let Some(group) = draft.into_group() {
            let batch = group.finish();
            for message in &batch.messages {
                if let Message::Intent(intent) = message {
                    let document = read_manifest(intent).unwrap();
                    self.view
                        .set_document(intent.kind, intent.name.clone(), document);
                }
            }
            self.view.state = batch.next;
        }
        answers
    }

    fn make(&mut self, edit: &Validated) -> Result<Answer, EditError> {
        self.batch(std::slice::from_ref(edit)).remove(0)
    }

    fn approves(&self, name: &str, by: &Identity) -> Validated {
        let name = Name::parse(name).unwrap();
        let request = v1::ApproveRequest {
            name: name.to_string(),
            generation: self.view.generation(Kind::Proposal, &name).0,
            ..v1::ApproveRequest::default()
        };
        let proposal = self.view.proposal(&name).unwrap();
        validate(accept::approve(proposal, request, by).unwrap()).unwrap()
    }
}

fn glass_applies(document: &Value) -> Validated {
    let request = v1::ApplyRequest {
        override_guards: true,
        reason: "test".into(),
        ..apply(document)
    };
    applied(&glass(), request)
}

fn proposes(by: &Identity, manifest: &Value) -> Validated {
    let request = v1::ApplyRequest {
        propose: true,
        reason: "because".into(),
        ..apply(manifest)
    };
    applied(by, request)
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn a_rule_that_an_edit_before_it_took_away_counts_no_more() {
    let mut log = Log::of(&[administrator("root", "root"), editors()]);
    let made = applied(&who("alice"), apply(&policy("a", &["g"])));
    log.make(&made).unwrap();
    let answers = log.batch(&[
        applied(&who("alice"), apply(&policy("b", &["g"]))),
        deleted(&who("root"), Kind::Access, delete("editors")),
        applied(&who("alice"), apply(&policy("c", &["g"]))),
    ]);
    assert!(answers[0].is_ok() && answers[1].is_ok());
    assert!(
        matches!(answers[2], Err(EditError::Denied(_))),
        "{:?}",
        answers[2]
    );
    assert!(log.view.document(Kind::Policy, &name("b")).is_some());
    assert!(log.view.document(Kind::Policy, &name("c")).is_none());
}

#[test]
fn who_may_not_is_told_nothing_of_what_is_there() {
    let mut log = Log::of(&[editors(), policy("a", &["g"])]);
    let mallory = who("mallory");
    for (name, base) in [("a", Some(7)), ("a", None), ("nothing", None)] {
        let request = v1::DeleteRequest {
            base_generation: base,
            ..delete(name)
        };
        let answer = log.make(&deleted(&mallory, Kind::Policy, request));
        assert!(matches!(answer, Err(EditError::Denied(_))), "{answer:?}");
    }
}

#[test]
fn what_is_large_needs_its_number_as_of_the_commit() {
    let clusters: Vec<Value> = (0..26).map(|n| cluster(&format!("eu-prod-{n}"))).collect();
    let mut log = Log::of(&clusters);
    log.make(&glass_applies(&editors())).unwrap();
    let confirmed = |confirm| {
        applied(
            &who("alice"),
            v1::ApplyRequest {
                confirm,
                ..apply(&policy("a", &["g"]))
            },
        )
    };
    let asked = log.make(&confirmed(0));
    let Err(EditError::NeedsConfirm { confirm, .. }) = &asked else {
        panic!("{asked:?}")
    };
    assert_eq!(confirm.number, 26);
    let dry = applied(
        &who("alice"),
        v1::ApplyRequest {
            dry_run: true,
            ..apply(&policy("a", &["g"]))
        },
    );
    let told = judge_dry_run(&dry, None, &log.view, &log.administrators, log.now_ms).unwrap();
    assert_eq!(told.weighed.confirm.map(|of| of.number), Some(26));
    // One more has come since the number was told.
    log.make(&glass_applies(&cluster("eu-prod-26"))).unwrap();
    let grown = log.make(&confirmed(26)).unwrap_err();
    assert!(
        grown
            .to_string()
            .ends_with("repeat it with confirm 27 (26 was confirmed, and it has grown)"),
        "{grown}"
    );
    assert!(log.make(&confirmed(27)).is_ok());
    // The same again changes nothing, and asks nothing.
    assert!(log.make(&confirmed(0)).unwrap().unchanged);
}

#[test]
fn a_stage_may_ask_for_a_second_person() {
    let rules = document(
        "StageRules",
        "prod",
        json!({"stage": "prod", "requireApproval": true}),
    );
    let mut log = Log::of(&[editors(), rules]);
    let (alice, bob) = (who("alice"), who("bob"));
    let made = policy("a", &["g"]);
    let direct = log.make(&applied(&alice, apply(&made)));
    assert!(
        matches!(direct, Err(EditError::NeedsApproval { .. })),
        "{direct:?}"
    );
    let proposed = log.make(&proposes(&alice, &made)).unwrap();
    assert!(proposed.proposed && proposed.generation.0 == 1);
    assert!(log.view.document(Kind::Policy, &name("a")).is_none());
    // Another's does not take its place, and one's own does.
    let other = log.make(&proposes(&bob, &made));
    assert!(
        matches!(other, Err(EditError::Proposed { .. })),
        "{other:?}"
    );
    let made = policy("a", &["g", "h"]);
    assert_eq!(log.make(&proposes(&alice, &made)).unwrap().generation.0, 2);
    let own = log.make(&log.approves("a", &alice));
    assert!(
        matches!(
            own,
            Err(EditError::NotApproved {
                source: NotApproved::Own { .. },
                ..
            })
        ),
        "{own:?}"
    );
    let denied = log.make(&log.approves("a", &who("mallory")));
    assert!(matches!(denied, Err(EditError::Denied(_))), "{denied:?}");
    let before = log.view.revision().number;
    let answer = log.make(&log.approves("a", &bob)).unwrap();
    assert_eq!((answer.name.as_str(), answer.generation.0), ("a", 1));
    // The edit and the end of the proposal are one batch.
    assert_eq!(log.view.revision().number, before + 2);
    assert!(log.view.proposal(&name("a")).is_none());
    let intent = log.view.intent(Kind::Policy, &name("a")).unwrap();
    assert_eq!(intent.author, "oidc:alice");
    assert_eq!(intent.reason, "because; approved by oidc:bob");
    assert_eq!(
        log.view.intent(Kind::Proposal, &name("a")).unwrap().author,
        "oidc:bob"
    );
    // A deletion needs one as well.
    let gone = log.make(&deleted(&alice, Kind::Policy, delete("a")));
    assert!(
        matches!(gone, Err(EditError::NeedsApproval { .. })),
        "{gone:?}"
    );
    let request = v1::DeleteRequest {
        propose: true,
        ..delete("a")
    };
    log.make(&deleted(&alice, Kind::Policy, request)).unwrap();
    log.make(&log.approves("a", &bob)).unwrap();
    assert!(log.view.document(Kind::Policy, &name("a")).is_none());
}

#[test]
fn so_many_proposals_wait_and_no_more() {
    let mut log = Log::of(&[editors()]);
    let alice = who("alice");
    let of = |n: usize| proposes(&alice, &policy(&format!("a{n}"), &["g"]));
    for n in 0..256 {
        log.make(&of(n)).unwrap();
    }
    let refused = log.make(&of(256));
    assert!(
        matches!(refused, Err(EditError::TooManyProposals { .. })),
        "{refused:?}"
    );
    // One that waits is replaced all the same.
    let replaced = proposes(&alice, &policy("a7", &["g", "h"]));
    log.make(&replaced).unwrap();
}

#[test]
fn a_proposal_expires_goes_stale_and_is_rejected() {
    let mut log = Log::of(&[editors()]);
    let (alice, bob) = (who("alice"), who("bob"));
    log.make(&proposes(&alice, &policy("a", &["g"]))).unwrap();
    let approval = log.approves("a", &bob);
    log.now_ms += 7 * 24 * 3600 * 1_000;
    let late = log.make(&approval);
    assert!(
        matches!(
            late,
            Err(EditError::NotApproved {
                source: NotApproved::Expired,
                ..
            })
        ),
        "{late:?}"
    );
    log.now_ms = NOW_MS;
    log.make(&applied(&bob, apply(&policy("a", &["other"]))))
        .unwrap();
    let stale = log.make(&approval);
    assert!(
        matches!(
            stale,
            Err(EditError::NotApproved {
                source: NotApproved::Stale { .. },
                ..
            })
        ),
        "{stale:?}"
    );
    let reject = |by: &Identity| deleted(by, Kind::Proposal, delete("a"));
    assert!(matches!(
        log.make(&reject(&who("mallory"))),
        Err(EditError::Denied(_))
    ));
    log.make(&reject(&bob)).unwrap();
    assert!(log.view.proposal(&name("a")).is_none());
    // One that was replaced after it was looked at is not the one that was looked at.
    log.make(&proposes(&alice, &policy("a", &["h"]))).unwrap();
    let approval = log.approves("a", &bob);
    log.make(&proposes(&alice, &policy("a", &["mallory"])))
        .unwrap();
    let replaced = log.make(&approval);
    assert!(
        matches!(replaced, Err(EditError::BaseMoved { .. })),
        "{replaced:?}"
    );
}

#[test]
fn who_proposed_has_to_have_the_right_still() {
    let mut log = Log::of(&[administrator("root", "root"), editors()]);
    log.make(&proposes(&who("alice"), &policy("a", &["g"])))
        .unwrap();
    log.make(&deleted(&glass(), Kind::Access, delete("editors")))
        .unwrap();
    let answer = log.make(&log.approves("a", &who("root")));
    let Err(EditError::Denied(denied)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(denied.identity, "oidc:alice");
}

#[test]
fn the_last_grant_of_a_protected_group_stays_unless_the_glass_is_broken() {
    let rules = document(
        "StageRules",
        "prod",
        json!({"stage": "prod", "protectedGroups": ["sre"]}),
    );
    let root = administrator("root", "root");
    let mut log = Log::of(&[
        root,
        rules,
        cluster("eu-prod-1"),
        policy("a", &["sre", "x"]),
    ]);
    for edit in [
        deleted(&who("root"), Kind::Policy, delete("a")),
        applied(&who("root"), apply(&policy("a", &["x"]))),
    ] {
        let answer = log.make(&edit);
        assert!(
            matches!(answer, Err(EditError::ProtectedGroups { .. })),
            "{answer:?}"
        );
    }
    let overriding = |by: &Identity, reason: &str| {
        let request = v1::DeleteRequest {
            override_guards: true,
            reason: reason.into(),
            ..delete("a")
        };
        deleted(by, Kind::Policy, request)
    };
    let not_glass = log.make(&overriding(&who("root"), "urgent"));
    assert!(
        matches!(not_glass, Err(EditError::NotBreakGlass)),
        "{not_glass:?}"
    );
    assert!(matches!(
        log.make(&overriding(&glass(), "")),
        Err(EditError::Invalid(_))
    ));
    let answer = log.make(&overriding(&glass(), "urgent")).unwrap();
    assert_eq!(
        answer.weighed.overridden,
        ["group sre would have no grant left in eu-prod-1"]
    );
}

#[test]
fn the_last_administrator_stays() {
    let mut log = Log::of(&[administrator("root", "root")]);
    let root = who("root");
    let viewer = document(
        "AccessRule",
        "root",
        json!({"subjects": [{"user": "oidc:root"}], "role": "viewer"}),
    );
    let bounded = document(
        "AccessRule",
        "root",
        json!({"subjects": [{"user": "oidc:root"}], "role": "administrator", "regions": ["eu"]}),
    );
    for edit in [
        deleted(&root, Kind::Access, delete("root")),
        deleted(&glass(), Kind::Access, delete("root")),
        applied(&root, apply(&viewer)),
        applied(&root, apply(&bounded)),
    ] {
        let answer = log.make(&edit);
        assert!(
            matches!(answer, Err(EditError::LastAdministrator { .. })),
            "{answer:?}"
        );
    }
    log.make(&applied(&root, apply(&administrator("other", "bob"))))
        .unwrap();
    // Each of two edits would leave one: together they leave none.
    let answers = log.batch(&[
        deleted(&root, Kind::Access, delete("root")),
        deleted(&who("bob"), Kind::Access, delete("other")),
    ]);
    assert!(answers[0].is_ok(), "{:?}", answers[0]);
    assert!(
        matches!(answers[1], Err(EditError::LastAdministrator { .. })),
        "{:?}",
        answers[1]
    );
}

#[test]
fn a_name_stays_an_access_rule_and_a_proposal_is_nothing_to_apply() {
    let mut log = Log::of(&[editors()]);
    let stage = document("StageRules", "editors", json!({"stage": "prod"}));
    let answer = log.make(&glass_applies(&stage));
    assert!(
        matches!(answer, Err(EditError::OtherKind { .. })),
        "{answer:?}"
    );
    let by_hand = document(
        "Proposal",
        "a",
        json!({
            "base": 0, "expiresMs": 5, "by": {"inlet": "oidc", "user": "bob", "groups": []},
        }),
    );
    let submission = accept::apply(Kind::Proposal, apply(&by_hand), &glass()).unwrap();
    assert!(matches!(validate(submission), Err(EditError::Invalid(_))));
}

#[test]
fn the_answer_to_a_request_is_its_callers() {
    let mut log = Log::of(&[editors()]);
    let request = v1::ApplyRequest {
        request_id: "r-1".into(),
        ..apply(&policy("a", &["g"]))
    };
    log.make(&applied(&who("alice"), request.clone())).unwrap();
    let past = Past::of(log.view.intent(Kind::Policy, &name("a")).unwrap());
    assert!(repeat(&applied(&who("alice"), request.clone()), &past).is_ok());
    let other = repeat(&applied(&who("mallory"), request), &past);
    assert!(
        matches!(other, Err(EditError::RequestIdTaken { .. })),
        "{other:?}"
    );
}
