//! The steps in a cluster's life, and whose they are.

use serde_json::{Value, json};
use writ_core::{
    access::Identity,
    edit::Kind,
    enrol::{Change, Fingerprint},
    envelope::SigningKey,
    model::ClusterKeys,
    name::ClusterName,
};

use super::*;
use crate::accept::Wish;

fn about(caller: &Identity) -> accept::About<'_> {
    accept::About {
        request_id: String::new(),
        reason: String::new(),
        caller,
        dry_run: false,
        confirm: 0,
        overrides: false,
    }
}

fn adds(by: &Identity, name: &str) -> Validated {
    let manifest = cluster(name).to_string();
    validate(accept::add(manifest, None, about(by)).unwrap()).unwrap()
}

fn steps(by: &Identity, name: &str, change: Change) -> Validated {
    validate(accept::step(name, change, about(by)).unwrap()).unwrap()
}

fn own(cluster: &str, wish: Wish) -> Validated {
    let cluster = ClusterName::parse(cluster).unwrap();
    validate(accept::of_cluster(
        &cluster,
        wish,
        "an id".into(),
        "its words",
    ))
    .unwrap()
}

fn keys(seed: u8) -> ClusterKeys {
    ClusterKeys {
        bus: format!("U{}", "A".repeat(55)),
        ack: SigningKey::from_seed(&[seed; 32]).public().to_base64(),
    }
}

fn local_administrator() -> Value {
    document(
        "AccessRule",
        "us-administrators",
        json!({"subjects": [{"user": "oidc:ursula"}], "role": "administrator", "regions": ["us"]}),
    )
}

#[test]
fn only_administrators_of_its_place_take_a_cluster_on_in_its_life() {
    let mut log = Log::of(&[
        administrator("root", "root"),
        editors(),
        local_administrator(),
    ]);
    let fingerprint = Fingerprint::of(&ClusterName::parse("eu-prod-1").unwrap(), &keys(1));
    for user in ["alice", "ursula", "nobody"] {
        let by = who(user);
        let refused = log.make(&adds(&by, "eu-prod-1"));
        assert!(matches!(refused, Err(EditError::Denied(_))), "{refused:?}");
    }
    log.make(&adds(&who("root"), "eu-prod-1")).unwrap();
    let changes = [
        Change::Approve(fingerprint),
        Change::Drain,
        Change::CutOff,
        Change::Reenrol(None),
    ];
    for user in ["alice", "ursula", "nobody"] {
        let by = who(user);
        for change in &changes {
            let refused = log.make(&steps(&by, "eu-prod-1", change.clone()));
            assert!(matches!(refused, Err(EditError::Denied(_))), "{refused:?}");
        }
        let refused = log.make(&deleted(&by, Kind::Cluster, delete("eu-prod-1")));
        assert!(matches!(refused, Err(EditError::Denied(_))), "{refused:?}");
        // Nor are they told what is there.
        let refused = log.make(&adds(&by, "eu-prod-1"));
        assert!(matches!(refused, Err(EditError::Denied(_))), "{refused:?}");
    }
    for change in [
        Change::CutOff,
        Change::Reenrol(None),
        Change::Approve(fingerprint),
    ] {
        let step = steps(&who("root"), "eu-prod-1", change);
        log.make(&step).unwrap();
    }
}

#[test]
fn a_cluster_takes_the_steps_of_its_own_life_alone() {
    let mut log = Log::of(&[administrator("root", "root")]);
    for name in ["eu-prod-1", "eu-prod-2"] {
        log.make(&adds(&who("root"), name)).unwrap();
    }
    let cluster = ClusterName::parse("eu-prod-1").unwrap();
    let step = |name_: &str, change| Wish::Step {
        name: name(name_),
        change,
    };
    let enter = || Change::Enter {
        keys: keys(1),
        token: None,
    };
    let gone = || Wish::Delete {
        name: name("eu-prod-1"),
    };
    // Nobody approved its keys.
    let refused = log.make(&own("eu-prod-1", step("eu-prod-1", enter())));
    assert!(matches!(refused, Err(EditError::Step(_))), "{refused:?}");
    let approve = Change::Approve(Fingerprint::of(&cluster, &keys(1)));
    let denied = [
        own("eu-prod-1", step("eu-prod-1", approve.clone())),
        own("eu-prod-1", step("eu-prod-1", Change::CutOff)),
        own("eu-prod-1", step("eu-prod-2", enter())),
        // It was not told to leave.
        own("eu-prod-1", gone()),
        steps(&who("eu-prod-1"), "eu-prod-1", enter()),
    ];
    for edit in denied {
        let refused = log.make(&edit);
        assert!(matches!(refused, Err(EditError::Denied(_))), "{refused:?}");
    }
    log.make(&steps(&who("root"), "eu-prod-1", approve))
        .unwrap();
    let entered = own("eu-prod-1", step("eu-prod-1", enter()));
    log.make(&entered).unwrap();
    let drain = steps(&who("root"), "eu-prod-1", Change::Drain);
    log.make(&drain).unwrap();
    let refused = log.make(&own("eu-prod-2", gone()));
    assert!(matches!(refused, Err(EditError::Denied(_))), "{refused:?}");
    log.make(&own("eu-prod-1", gone())).unwrap();
    assert!(log.view.cluster(&cluster).is_none());
}

fn enrolled(log: &mut Log, cluster: &str) {
    log.make(&adds(&who("root"), cluster)).unwrap();
    let fingerprint = Fingerprint::of(&ClusterName::parse(cluster).unwrap(), &keys(1));
    log.make(&steps(&who("root"), cluster, Change::Approve(fingerprint)))
        .unwrap();
    let change = Change::Enter {
        keys: keys(1),
        token: None,
    };
    let name = name(cluster);
    log.make(&own(cluster, Wish::Step { name, change }))
        .unwrap();
}

#[test]
fn what_a_cluster_enrols_by_is_given_again_to_whoever_may_still_have_it() {
    let mut log = Log::of(&[administrator("root", "root"), administrator("roy", "roy")]);
    let by = who("roy");
    let named = || accept::About {
        request_id: "an-id".into(),
        ..about(&by)
    };
    let manifest = cluster("eu-prod-1").to_string();
    let requests = [
        validate(accept::add(manifest, None, named()).unwrap()).unwrap(),
        validate(accept::step("eu-prod-1", Change::Reenrol(None), named()).unwrap()).unwrap(),
    ];
    for request in requests {
        let first = log.make(&request).unwrap();
        let past = Past::of(log.view.intent(Kind::Cluster, &name("eu-prod-1")).unwrap());
        let again = |log: &Log, dry_run| {
            let mut request = request.clone();
            request.submission.dry_run = dry_run;
            let past = Some(&past);
            if dry_run {
                let (view, administrators) = (&log.view, &log.administrators);
                return judge_dry_run(&request, past, view, administrators, log.now_ms);
            }
            let mut draft = Draft::new(&log.view.state, &log.view, &log.administrators, log.now_ms);
            match draft.take(&request, past, false) {
                Verdict::Now(answer) | Verdict::IfCurrent(answer) => answer,
                Verdict::Later => panic!("it waits for the next batch"),
            }
        };
        for dry_run in [false, true] {
            let answer = again(&log, dry_run).unwrap();
            assert_eq!(answer.generation, first.generation);
        }
        log.make(&deleted(&who("root"), Kind::Access, delete("roy")))
            .unwrap();
        for dry_run in [false, true] {
            let refused = again(&log, dry_run);
            assert!(matches!(refused, Err(EditError::Denied(_))), "{refused:?}");
        }
        log.make(&glass_applies(&administrator("roy", "roy")))
            .unwrap();
    }
}

#[test]
fn who_loses_access_where_a_cluster_drains_is_counted_and_the_number_asked_for() {
    let groups: Vec<String> = (0..11).map(|n| format!("g{n}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let mut log = Log::of(&[administrator("root", "root"), policy("a", &groups)]);
    enrolled(&mut log, "eu-prod-1");
    let drains = |confirm, overrides, by: &Identity| {
        let about = accept::About {
            confirm,
            overrides,
            reason: "it leaves".into(),
            ..about(by)
        };
        validate(accept::step("eu-prod-1", Change::Drain, about).unwrap()).unwrap()
    };
    let root = who("root");
    for given in [0, 10] {
        let asked = log.make(&drains(given, false, &root));
        let Err(EditError::NeedsConfirm { confirm, .. }) = &asked else {
            panic!("{asked:?}")
        };
        assert_eq!(confirm.number, 11);
    }
    let mut dry = drains(0, false, &root);
    dry.submission.dry_run = true;
    let told = judge_dry_run(&dry, None, &log.view, &log.administrators, log.now_ms).unwrap();
    assert_eq!(told.weighed.losing_count, 11);
    assert_eq!(told.weighed.confirm.map(|of| of.number), Some(11));

    // A protected group stays, unless somebody breaks the glass.
    let rules = document(
        "StageRules",
        "prod",
        json!({"stage": "prod", "protectedGroups": ["g0"]}),
    );
    log.make(&glass_applies(&rules)).unwrap();
    log.make(&glass_applies(&policy("b", &["g0"]))).unwrap();
    let left = log.make(&drains(11, false, &root));
    assert!(
        matches!(left, Err(EditError::ProtectedGroups { .. })),
        "{left:?}"
    );
    let mut overriding = log.clone();
    let overridden = overriding.make(&drains(0, true, &glass())).unwrap();
    assert_eq!(overridden.weighed.overridden.len(), 2, "{overridden:?}");
    log.make(&deleted(&root, Kind::Access, delete("prod")))
        .unwrap();
    log.make(&drains(11, false, &root)).unwrap();
    // Told once more, it changes nothing; and what goes on elsewhere asks nothing of it.
    assert!(log.make(&drains(0, false, &root)).unwrap().unchanged);
    let gone = log.make(&deleted(&root, Kind::Policy, delete("a")));
    assert_eq!(gone.unwrap().weighed.losing_count, 0);
}
