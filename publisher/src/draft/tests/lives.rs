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
