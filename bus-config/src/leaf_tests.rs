//! The leaf's file as a whole.

use super::*;
use crate::identity;

#[test]
fn the_leafs_file_is_as_it_was_reviewed() {
    let eu = Region::parse("eu").unwrap();
    let (_, mut registrar, mut operator) = identity::generate();
    operator.add_leaf(&eu);
    registrar.learn(operator.realm().clone()).unwrap();
    let realm = registrar.realm();
    let link = |account: &AccountKey, file: &str| Link {
        account: account.clone(),
        credentials: file.into(),
    };
    let leaf = LeafConfig {
        region: eu.clone(),
        listen: "127.0.0.1:4222".parse().unwrap(),
        store_dir: "/var/lib/writ/nats".into(),
        ports_dir: None,
        hub: vec![
            "10.0.0.1:7422".parse().unwrap(),
            "10.0.0.2:7422".parse().unwrap(),
        ],
        link: link(&realm.core, "/etc/writ/link.creds"),
        claims: link(&realm.system, "/etc/writ/claims.creds"),
        accounts: Accounts {
            dir: "/var/lib/writ/accounts".into(),
            operator: operator.operator(1),
            preload: registrar.leaf_accounts(&eu, 1).unwrap(),
        },
    };
    let text = crate::config::tests::readable(&leaf.render().unwrap(), &leaf.accounts, realm);
    assert_eq!(text, include_str!("leaf_reviewed.conf"));
    let bad = LeafConfig {
        link: link(&realm.core, "/etc/\"} x {"),
        ..leaf
    };
    assert!(matches!(bad.render(), Err(Error::Path(_))));
}
