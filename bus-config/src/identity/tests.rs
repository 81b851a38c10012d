//! What is signed, and what never is.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::Value;
use writ_core::name::{ClusterName, Name, Region, Stage};

use super::*;

const NOW_S: u64 = 1_800_000_000;
const HOUR_S: u64 = 3600;

fn region(text: &str) -> Region {
    Region::parse(text).unwrap()
}

fn cluster() -> (ClusterName, Stage) {
    (
        ClusterName::parse("eu-prod-1").unwrap(),
        Stage::parse("prod").unwrap(),
    )
}

/// Checks the signature, and gives the claims.
fn claims(token: &Jwt) -> Value {
    let parts: Vec<&str> = token.as_str().split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("{token}");
    };
    let claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let issuer = KeyPair::from_public_key(claims["iss"].as_str().unwrap()).unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    issuer
        .verify(format!("{header}.{payload}").as_bytes(), &signature)
        .unwrap();
    claims
}

#[test]
fn a_clusters_token_names_it_and_grants_nothing_of_its_own() {
    let (realm, registrar, _) = generate();
    let key = UserKey::generate().public();
    let (name, stage) = cluster();
    let token =
        registrar
            .agents()
            .cluster_user(&name, &region("eu"), &stage, &key, NOW_S, NOW_S + HOUR_S);
    let token = token.unwrap();
    let claims = claims(&token);
    assert_eq!(claims["sub"], key.as_str());
    assert_eq!(claims["iss"], realm.signers.cluster.as_str());
    assert_eq!(claims["exp"], NOW_S + HOUR_S);
    let grants = serde_json::json!({
        "issuer_account": realm.agents, "tags": ["region:eu", "stage:prod"],
        "type": "user", "version": 2,
    });
    assert_eq!(claims["nats"], grants);
    let summary = Jwt::user(token.as_str()).unwrap();
    assert_eq!(
        (summary.name.as_str(), summary.expires_s),
        ("eu-prod-1", Some(NOW_S + HOUR_S))
    );
}

#[test]
fn no_token_lives_longer_than_its_role_allows_or_less_than_a_second() {
    let (_, registrar, operator) = generate();
    let key = UserKey::generate().public();
    let (name, stage) = cluster();
    let eu = region("eu");
    let agents = registrar.agents();
    let of_cluster = |expires_s| agents.cluster_user(&name, &eu, &stage, &key, NOW_S, expires_s);
    let of_enrolment = |expires_s| agents.enrolment_user(&name, &key, NOW_S, expires_s);
    assert!(of_cluster(NOW_S + roles::CLUSTER_LIFE_MAX_S).is_ok());
    assert!(of_cluster(NOW_S + roles::CLUSTER_LIFE_MAX_S + 1).is_err());
    assert!(of_cluster(NOW_S).is_err());
    assert!(of_cluster(NOW_S - 1).is_err());
    assert!(of_enrolment(NOW_S + HOUR_S).is_ok());
    assert!(of_enrolment(NOW_S + HOUR_S + 1).is_err());
    let installer = operator.user(&Role::Installer, &key, NOW_S, u64::MAX);
    assert!(installer.is_err());
}

#[test]
fn a_wildcard_is_no_name_and_no_place() {
    for bad in ["*", ">", "eu.*", "all", "", "EU", "eu prod"] {
        assert!(Region::parse(bad).is_err(), "{bad}");
        assert!(Stage::parse(bad).is_err(), "{bad}");
    }
    for bad in ["*", ">", "a.b", "{{name()}}"] {
        assert!(ClusterName::parse(bad).is_err(), "{bad}");
        assert!(Name::parse(bad).is_err(), "{bad}");
    }
    // What is reserved is not even a name, so that the signer's own check has nothing left to refuse.
    for reserved in crate::accounts::INBOX_WORDS {
        assert!(Region::parse(reserved).is_err(), "{reserved}");
        assert!(ClusterName::parse(reserved).is_err(), "{reserved}");
    }
}

#[test]
fn each_role_has_a_key_of_its_own_in_the_account_where_it_belongs() {
    let (realm, registrar, mut operator) = generate();
    operator.add_leaf(&region("eu"));
    let mut registrar = registrar;
    registrar.learn(operator.realm().clone()).unwrap();
    let key = UserKey::generate().public();
    let eu = region("eu");
    let roles = [
        (Role::Installer, &realm.core),
        (Role::Backup, &realm.core),
        (Role::Registrar, &realm.system),
        (Role::ClaimsLink, &realm.system),
        (Role::LeafInstaller(eu.clone()), &realm.core),
    ];
    let mut issuers = BTreeSet::new();
    for (role, account) in roles {
        let token = operator.user(&role, &key, NOW_S, NOW_S + HOUR_S).unwrap();
        let claims = claims(&token);
        assert_eq!(claims["nats"]["issuer_account"], account.as_str());
        assert!(issuers.insert(claims["iss"].to_string()), "{role:?}");
    }
    // The hub's account does not know a leaf's installer, nor a leaf's the hub's.
    let hub = claims(&registrar.core_account(NOW_S).unwrap());
    let leaf = claims(&registrar.leaf_core_account(&eu, NOW_S).unwrap());
    assert_eq!(hub["sub"], leaf["sub"]);
    let signers = |claims: &Value| -> BTreeSet<String> {
        let keys = claims["nats"]["signing_keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["role"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        signers(&hub),
        ["backup", "installer", "publisher"]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(signers(&leaf), ["leaf-installer".to_owned()].into());
    assert_eq!(
        operator.user(&Role::Cluster, &key, NOW_S, NOW_S + 1),
        Err(Error::NoSigner("cluster"))
    );
    assert!(
        operator
            .user(&Role::Publisher, &key, NOW_S, NOW_S + 1)
            .is_err()
    );
}

#[test]
fn the_subscribers_account_is_a_function_of_who_is_revoked_and_of_the_time() {
    let (realm, registrar, _) = generate();
    let revoked: BTreeSet<_> = [UserKey::generate().public()].into();
    let account = registrar.agents_account(&revoked, NOW_S).unwrap();
    assert_eq!(account, registrar.agents_account(&revoked, NOW_S).unwrap());
    assert_ne!(
        account,
        registrar.agents_account(&revoked, NOW_S + 1).unwrap()
    );
    let of_nobody = registrar.agents_account(&BTreeSet::new(), NOW_S).unwrap();
    let (some, none) = (claims(&account), claims(&of_nobody));
    assert_ne!(
        some["jti"], none["jti"],
        "a server takes equal ids for equal tokens"
    );
    let until = some["nats"]["revocations"].as_object().unwrap();
    assert_eq!(until.len(), 1);
    assert!(
        until
            .values()
            .all(|until| until.as_u64() > Some(NOW_S * 100))
    );
    assert_eq!(none["nats"].get("revocations"), None);
    assert_eq!(some["iss"], realm.operator_signing.as_str());
    assert_eq!(
        some["nats"]["limits"].get("leaf"),
        None,
        "no leaf links into it"
    );
    assert_eq!(
        some["nats"]["limits"].get("disk_storage"),
        None,
        "it has no streams"
    );
}

#[test]
fn an_accounts_token_with_all_the_revocations_it_may_hold_fits_into_a_message() {
    let (_, registrar, _) = generate();
    let mut revoked: BTreeSet<_> = (0..REVOCATIONS_MAX)
        .map(|number| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let pair = KeyPair::new_from_raw(nkeys::KeyPairType::User, seed).unwrap();
            PublicKey::parse(&pair.public_key()).unwrap()
        })
        .collect();
    let account = registrar.agents_account(&revoked, NOW_S).unwrap();
    assert!(account.as_str().len() < crate::config::PAYLOAD_BYTES_MAX - 16 * 1024);
    revoked.insert(UserKey::generate().public());
    assert_eq!(
        registrar.agents_account(&revoked, NOW_S),
        Err(Error::Revocations(REVOCATIONS_MAX + 1))
    );
}

#[test]
fn credentials_are_read_as_they_were_written_and_of_one_user_alone() {
    let (_, registrar, _) = generate();
    let user = UserKey::generate();
    let (name, _) = cluster();
    let token = registrar
        .agents()
        .enrolment_user(&name, &user.public(), NOW_S, NOW_S + HOUR_S)
        .unwrap();
    assert!(Credentials::new(&token, Some(UserKey::generate())).is_err());
    let credentials = Credentials::new(&token, Some(user)).unwrap();
    let text = credentials.to_file();
    let read = Credentials::parse(&text).unwrap();
    assert_eq!(read.to_file(), text);
    assert_eq!(read.token(), &token);
    assert_eq!(read.sign(b"nonce"), credentials.sign(b"nonce"));
    assert!(!format!("{read:?}").contains("SU"), "{read:?}");

    let bare = Credentials::new(&token, None).unwrap();
    assert_eq!(
        Credentials::parse(&bare.to_file()).unwrap().sign(b"nonce"),
        None
    );
    for bad in ["", "SUAAA", &text[40..], &text.replace("eyJ", "xxx")] {
        assert!(Credentials::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn keys_of_another_bus_are_not_taken_over() {
    let (_, mut registrar, mut operator) = generate();
    operator.add_leaf(&region("eu"));
    registrar.learn(operator.realm().clone()).unwrap();
    let text = serde_json::to_string(operator.realm()).unwrap();
    assert_eq!(
        &serde_json::from_str::<Realm>(&text).unwrap(),
        registrar.realm()
    );
    let (other, ..) = generate();
    assert_eq!(registrar.learn(other), Err(Error::OtherRealm));
}
