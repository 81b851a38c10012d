//! The file as a whole, and what may not get into it.

use nkeys::KeyPair;

use super::*;

/// Public keys of users, made for these tests; their seeds are kept nowhere.
fn key() -> PublicKey {
    PublicKey::parse(&KeyPair::new_user().public_key()).unwrap()
}

fn server() -> ServerConfig {
    ServerConfig {
        name: Name::parse("hub-1").unwrap(),
        listen: "127.0.0.1:4222".parse().unwrap(),
        store_dir: "/var/lib/writ/nats".into(),
        ports_dir: None,
        peers: None,
        leafs: None,
        installer: key(),
        publishers: vec![PublisherUser {
            name: Name::parse("publisher-1").unwrap(),
            key: key(),
        }],
        clusters: vec![
            cluster("eu-prod-1", "eu", "prod"),
            cluster("ap-stage-1", "ap", "stage"),
        ],
    }
}

fn cluster(name: &str, region: &str, stage: &str) -> ClusterUser {
    ClusterUser {
        name: ClusterName::parse(name).unwrap(),
        region: Region::parse(region).unwrap(),
        stage: Stage::parse(stage).unwrap(),
        key: key(),
    }
}

#[test]
fn the_order_of_registration_does_not_change_the_file() {
    let server = server();
    let mut turned = server.clone();
    turned.clusters.reverse();
    assert_eq!(server.render().unwrap(), turned.render().unwrap());
}

#[test]
fn port_zero_lets_the_server_pick_one() {
    let server = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..server()
    };
    assert!(server.render().unwrap().contains("\nport: -1\n"));
}

#[test]
fn only_public_keys_of_users_are_keys() {
    assert!(PublicKey::parse(&KeyPair::new_user().public_key()).is_ok());
    let account = KeyPair::new_account().public_key();
    let seed = KeyPair::new_user().seed().unwrap();
    let mut damaged = KeyPair::new_user().public_key();
    damaged.replace_range(10..11, if &damaged[10..11] == "A" { "B" } else { "A" });
    for bad in ["", "U", "UAAA } }", &account, &seed, &damaged] {
        assert!(PublicKey::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_path_can_not_end_its_quotation() {
    for bad in ["", "/a\"b", "/a\\b", "/a\nport: 1"] {
        let server = ServerConfig {
            store_dir: bad.into(),
            ..server()
        };
        assert!(matches!(server.render(), Err(Error::Path(_))), "{bad:?}");
    }
    let server = ServerConfig {
        store_dir: "/a b/ü $HOME".into(),
        ..server()
    };
    assert!(
        server
            .render()
            .unwrap()
            .contains("store_dir: \"/a b/ü $HOME\"")
    );
}

#[test]
fn one_key_is_one_user() {
    let mut server = server();
    server.clusters[1].key = server.publishers[0].key.clone();
    assert!(matches!(server.render(), Err(Error::KeyTwice(_))));
}

#[test]
fn servers_of_one_cluster_share_a_secret() {
    let peers = |secret: &str| {
        Some(Peers {
            name: Name::parse("writ").unwrap(),
            listen: "10.0.0.1:6222".parse().unwrap(),
            routes: vec!["10.0.0.2:6222".parse().unwrap()],
            secret: secret.to_owned(),
        })
    };
    let text = ServerConfig {
        peers: peers("abcdefghijklmnopqrstuvwx"),
        ..server()
    }
    .render()
    .unwrap();
    assert!(text.contains("\"nats://route:abcdefghijklmnopqrstuvwx@10.0.0.2:6222\""));
    for bad in ["short", "abcdefghijklmnopqrstuv\"}", ""] {
        let server = ServerConfig {
            peers: peers(bad),
            ..server()
        };
        assert!(matches!(server.render(), Err(Error::Secret)), "{bad:?}");
    }
}
