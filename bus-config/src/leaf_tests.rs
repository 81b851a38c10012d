//! Both sides of a link as whole files, and what may not get into them.

use writ_core::name::{ClusterName, Name, Stage};

use super::*;
use crate::config::{LeafLink, Leafs, PublisherUser, ServerConfig};

fn eu() -> Region {
    Region::parse("eu").unwrap()
}

fn public(key: &KeyPair) -> PublicKey {
    PublicKey::parse(&key.public_key()).unwrap()
}

fn cluster(name: &str, region: &str) -> ClusterUser {
    ClusterUser {
        name: ClusterName::parse(name).unwrap(),
        region: Region::parse(region).unwrap(),
        stage: Stage::parse("prod").unwrap(),
        key: public(&KeyPair::new_user()),
    }
}

fn leaf(key: &KeyPair) -> LeafConfig {
    LeafConfig {
        region: eu(),
        listen: "127.0.0.1:4222".parse().unwrap(),
        store_dir: "/var/lib/writ/nats".into(),
        ports_dir: None,
        hub: vec![
            "10.0.0.1:7422".parse().unwrap(),
            "10.0.0.2:7422".parse().unwrap(),
        ],
        seed: key.seed().unwrap(),
        installer: public(&KeyPair::new_user()),
        clusters: vec![cluster("eu-prod-1", "eu")],
    }
}

fn hub(links: Vec<LeafLink>) -> ServerConfig {
    ServerConfig {
        name: Name::parse("hub-1").unwrap(),
        listen: "10.0.0.1:4222".parse().unwrap(),
        store_dir: "/var/lib/writ/nats".into(),
        ports_dir: None,
        peers: None,
        leafs: Some(Leafs {
            listen: "10.0.0.1:7422".parse().unwrap(),
            links,
        }),
        installer: public(&KeyPair::new_user()),
        publishers: vec![PublisherUser {
            name: Name::parse("publisher-1").unwrap(),
            key: public(&KeyPair::new_user()),
        }],
        clusters: vec![],
    }
}

fn link(region: &str, key: &KeyPair) -> LeafLink {
    LeafLink {
        region: Region::parse(region).unwrap(),
        key: public(key),
    }
}

#[test]
fn a_region_has_one_link_and_a_leaf_only_its_own_clusters() {
    let [one, two] = [KeyPair::new_user(), KeyPair::new_user()];
    let twice = hub(vec![link("eu", &one), link("eu", &two)]);
    assert!(matches!(twice.render(), Err(Error::RegionTwice(_))));
    let shared = hub(vec![link("eu", &one), link("us", &one)]);
    assert!(matches!(shared.render(), Err(Error::KeyTwice(_))));
    assert!(
        hub(vec![link("eu", &one), link("us", &two)])
            .render()
            .is_ok()
    );

    let mut stray = leaf(&one);
    stray.clusters.push(cluster("us-prod-1", "us"));
    assert!(matches!(stray.render(), Err(Error::Region { .. })));
    for seed in ["", "SU } }", &KeyPair::new_account().seed().unwrap()] {
        let bad = LeafConfig {
            seed: seed.to_owned(),
            ..leaf(&one)
        };
        assert!(matches!(bad.render(), Err(Error::Seed)), "{seed}");
    }
}
