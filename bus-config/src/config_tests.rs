//! The file as a whole, and what may not get into it.

use super::*;
use crate::identity::{self, Realm};

fn server() -> ServerConfig {
    let (_, registrar, operator) = identity::generate();
    ServerConfig {
        name: Name::parse("hub-1").unwrap(),
        listen: "127.0.0.1:4222".parse().unwrap(),
        store_dir: "/var/lib/writ/nats".into(),
        ports_dir: None,
        peers: None,
        leafs: None,
        accounts: Accounts {
            dir: "/var/lib/writ/accounts".into(),
            operator: operator.operator(1),
            preload: registrar.hub_accounts(1).unwrap(),
        },
    }
}

/// A file with names in the place of keys and tokens, which are others each time.
pub(crate) fn readable(text: &str, accounts: &Accounts, realm: &Realm) -> String {
    let mut lines: Vec<String> = text
        .replace(accounts.operator.as_str(), "OPERATOR")
        .lines()
        .map(|line| {
            let mut line = line.to_owned();
            for (account, token) in &accounts.preload {
                line = line.replace(token.as_str(), "TOKEN");
                let name = match account {
                    account if *account == realm.core => "CORE",
                    account if *account == realm.agents => "AGENTS",
                    account if *account == realm.system => "SYS",
                    _ => "LEAF",
                };
                line = line.replace(account.as_str(), name);
            }
            line
        })
        .collect();
    // In the order of the keys, which is another each time.
    if let Some(at) = lines
        .iter()
        .position(|line| line.starts_with("resolver_preload"))
    {
        lines[at + 1..=at + accounts.preload.len()].sort();
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_file_is_as_it_was_reviewed() {
    let (realm, registrar, operator) = identity::generate();
    let accounts = Accounts {
        dir: "/var/lib/writ/accounts".into(),
        operator: operator.operator(1),
        preload: registrar.hub_accounts(1).unwrap(),
    };
    let server = ServerConfig {
        leafs: Some("10.0.0.1:7422".parse().unwrap()),
        accounts,
        ..server()
    };
    let text = readable(&server.render().unwrap(), &server.accounts, &realm);
    assert_eq!(text, include_str!("config_reviewed.conf"));
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
