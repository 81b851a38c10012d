//! What no trusted key signed, or was signed for another place, changes nothing. The forger here has
//! stolen a publisher's bus identity, which may write to the log, but not its signing key.

use std::collections::BTreeSet;

use serde_json::json;
use writ_bus::{
    accounts,
    batch::{self, Batch, Message, Outcome},
    connection::{self, FirstConnect, Login, Options},
    read,
    streams::Stream,
};
use writ_core::{
    edit::{Change, Edit, State},
    envelope::SigningKey,
    name::Name,
    scope::Kind,
    subject::BusSubject,
};
use writ_proto::{log, v1::AckState};

use crate::harness::{PROD, policy, role, run};

#[test]
fn forged_events_are_never_applied_and_do_not_stop_what_is_genuine() {
    run(async |fleet| {
        let publisher = Name::parse("publisher-1").unwrap();
        let client = connection::connect(Options {
            url: fleet.bus_url.clone(),
            login: Login::File(fleet.publisher_credentials()),
            inbox: accounts::publisher_inbox(&publisher),
            name: "forger".into(),
            first_connect: FirstConnect::Now,
        })
        .await
        .unwrap();

        let forged_role = role("ClusterRole", "forged", None, &["*"]);
        let manifest = policy("forged", PROD, json!([forged_role]), json!([]));
        let edit = Edit {
            kind: Kind::Policy.into(),
            name: Name::parse("forged").unwrap(),
            change: Change::Put {
                manifest: manifest.to_string(),
                object: manifest.clone(),
                requires: vec![],
                scopes: BTreeSet::from(["all.all".parse().unwrap()]),
                listens: None,
            },
            request_id: "forged".into(),
            author: "mallory".into(),
            reason: String::new(),
            inlet: "bus".into(),
            committed_ms: 1,
            targets: vec![PROD.to_owned()],
            revoked: vec![],
        };
        let key = SigningKey::from_seed(&[66; 32]);
        let event = State::default()
            .build(&edit)
            .messages
            .into_iter()
            .nth(1)
            .unwrap();
        let sealed = log::seal_message(&event, &key);
        // Alone, without a root: the compare-and-set fences roots, events are fenced by signatures.
        let message = Message {
            subject: event.subject(),
            bytes: sealed.bytes.into(),
        };
        let root = read::last_by_subject(&client, Stream::Log, &BusSubject::Root)
            .await
            .unwrap()
            .unwrap();
        let genuine_root = Message {
            subject: BusSubject::Root,
            bytes: root.bytes.clone(),
        };
        let batch = Batch::new(vec![message, genuine_root], root.sequence).unwrap();
        let outcome = batch::commit(&client, &batch).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");

        // What is genuine and comes after it is applied, so the forged event was met and passed over.
        let objects = json!([role("ClusterRole", "after-forged", None, &["get"])]);
        let edit = fleet
            .apply(&policy("after-forged", PROD, objects, json!([])))
            .await;
        fleet.expect(&edit, PROD, AckState::Applied).await;
        let roles = fleet.objects(PROD, "ClusterRole", "");
        assert!(roles.get_opt("forged").await.unwrap().is_none());
        assert!(
            fleet
                .objects(PROD, "ClusterPolicy", "")
                .get_opt("forged")
                .await
                .unwrap()
                .is_none()
        );
    });
}
