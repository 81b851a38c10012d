//! Random edits: moves between scopes, labels that change, deletions and what no subscriber knows.

use serde_json::{Value, json};

use super::{chance::Chance, documents};
use crate::{
    edit::{Change, Edit},
    scope::{Kind, Scope},
};

/// Clusters with their places.
pub(super) const CLUSTERS: [(&str, (&str, &str)); 2] =
    [("k1", ("eu", "prod")), ("k2", ("us", "prod"))];
pub(super) const POLICIES: [&str; 3] = ["p", "q", "r"];
const SCOPES: [&str; 6] = [
    "eu.prod", "eu.all", "us.prod", "us.all", "all.prod", "all.all",
];
/// Any edit that a fleet may see.
pub(super) fn random_edit(chance: &mut Chance) -> Edit {
    if chance.percent(25) {
        let (name, place) = chance.pick(&CLUSTERS);
        if chance.percent(8) {
            return documents::delete(Kind::Cluster, name);
        }
        let (tier, visibility) = (
            chance.pick(&["gold", "silver"]),
            chance.pick(&["fleet", "stage", "scope"]),
        );
        return documents::cluster(name, place, tier, visibility);
    }
    let name = chance.pick(&POLICIES);
    if chance.percent(15) {
        return documents::delete(Kind::Policy, name);
    }
    let mut edit = documents::policy(name, &random_selector(chance));
    if let Change::Put {
        scopes, requires, ..
    } = &mut edit.change
    {
        if chance.percent(50) {
            // Anywhere, two scopes of one cluster included: more than placement gives.
            let count = chance.pick(&[1, 1, 2]);
            let any = (0..count).map(|_| chance.pick(&SCOPES).parse::<Scope>());
            *scopes = any.map(|scope| scope.expect("a scope")).collect();
        }
        if chance.percent(4) {
            requires.push("telepathy".to_owned());
        }
    }
    edit
}

fn random_selector(chance: &mut Chance) -> Value {
    let region = chance.pick(&["eu", "us"]);
    let tier = chance.pick(&["gold", "silver"]);
    let name = chance.pick(&CLUSTERS).0;
    chance.pick(&[
        json!({"all": true}),
        json!({"stages": ["prod"]}),
        json!({"regions": [region]}),
        json!({"regions": [region], "stages": ["prod"]}),
        json!({"names": [name]}),
        json!({"all": true, "exclude": {"names": [name]}}),
        json!({"matchLabels": {"tier": tier}}),
        json!({"regions": [region], "matchLabels": {"tier": tier}}),
    ])
}
