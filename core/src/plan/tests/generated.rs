//! Random policies over random clusters, from seeds that a failure prints: the order and the number
//! of events make no difference, and a second plan is empty.

use serde_json::json;

use super::*;

const SEEDS: u64 = 400;

/// SplitMix64: enough for choices, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = usize::try_from(self.below(at as u64 + 1)).unwrap();
            items.swap(at, other);
        }
    }
}

/// Some objects of every kind; the namespace often, so that much of it can be made.
fn policy_of(chance: &mut Chance) -> Vec<Object> {
    let mut objects = Vec::new();
    if chance.happens(80) {
        let mut namespace = namespace();
        if chance.happens(30) {
            namespace.content["metadata"]["annotations"] = json!({"writ.dev/removal": "delete"});
        }
        objects.push(namespace);
    }
    for kind in [
        "ServiceAccount",
        "LimitRange",
        "ResourceQuota",
        "ConfigMap",
        "NetworkPolicy",
    ] {
        for number in 0..chance.below(3) {
            let at = reference(kind, Some("payments"), &format!("object-{number}"));
            let amount = ["1", "1k", "1024Mi"][usize::try_from(chance.below(3)).unwrap()];
            let hard = json!({"spec": {"hard": {"pods": amount}}});
            objects.push(object(at, hard));
        }
    }
    for number in 0..4 {
        let name = format!("role-{number}");
        if chance.happens(60) {
            objects.push(named_role(&name));
        }
        if chance.happens(60) {
            let mut binding = binding(&format!("role-{}", chance.below(4)));
            binding.reference.name = format!("writ:payments:{number}");
            binding.content["metadata"]["name"] = binding.reference.name.as_str().into();
            binding.content["subjects"][0]["name"] = format!("user-{}", chance.below(3)).into();
            objects.push(binding);
        }
    }
    objects
}

/// What people and programs do to a cluster.
fn disturb(cluster: &mut Cluster, chance: &mut Chance) {
    let all: Vec<ObjectRef> = cluster.objects.keys().cloned().collect();
    for at in all {
        match chance.below(12) {
            0 => drop(cluster.objects.remove(&at)),
            1 => cluster.edit(&at)["metadata"]["labels"] = json!({}),
            2 => cluster.edit(&at)["metadata"]["labels"][POLICY] = "other".into(),
            3 => cluster.edit(&at)["metadata"]["uid"] = format!("new-{}", chance.next()).into(),
            4 => cluster.edit(&at)["spec"] = json!({"hard": {"pods": "7"}}),
            5 if at.kind == "RoleBinding" => {
                cluster.edit(&at)["roleRef"]["name"] = "role-9".into();
            }
            _ => {}
        }
    }
    for number in 0..chance.below(2) {
        let at = named_role(&format!("role-{number}"));
        if !cluster.objects.contains_key(&at.reference) {
            cluster.put(&at.reference, at.content);
        }
    }
}

/// What a subscriber does when anything happened: the whole policy again.
fn settle(cluster: &mut Cluster, objects: &[Object], seed: u64) {
    let mut plans = 0;
    loop {
        let made = cluster.bring(objects);
        if made.waves.is_empty() && made.dropped.is_empty() {
            return;
        }
        plans += 1;
        // A role that comes late frees its bindings, a namespace all that is in it.
        assert!(plans < 5, "seed {seed}: {made:#?}");
    }
}

#[test]
fn any_order_and_number_of_the_same_events_gives_the_same_plan() {
    for seed in 0..SEEDS {
        let mut chance = Chance(seed);
        let mut cluster = Cluster::default();
        let mut objects = policy_of(&mut chance);
        cluster.bring(&objects);
        disturb(&mut cluster, &mut chance);
        if chance.happens(50) {
            objects = policy_of(&mut chance);
        }
        let first = cluster.plan(&objects);
        for _ in 0..3 {
            chance.shuffle(&mut objects);
            chance.shuffle(&mut cluster.inventory);
            assert_eq!(cluster.plan(&objects), first, "seed {seed}");
        }
    }
}

#[test]
fn a_second_plan_is_empty_and_nothing_foreign_was_touched() {
    for seed in 0..SEEDS {
        let mut chance = Chance(seed);
        let mut cluster = Cluster::default();
        for round in 0..4 {
            let objects = match round {
                3 => Vec::new(),
                _ => policy_of(&mut chance),
            };
            disturb(&mut cluster, &mut chance);
            let foreign: Vec<(ObjectRef, Value)> = cluster
                .objects
                .iter()
                .filter(|(at, _)| !cluster.inventory.iter().any(|item| item.reference == **at))
                .filter(|(_, content)| content["metadata"]["annotations"][RELEASED].is_null())
                .map(|(at, content)| (at.clone(), content.clone()))
                .collect();
            settle(&mut cluster, &objects, seed);
            for (at, content) in foreign {
                assert_eq!(
                    cluster.objects.get(&at),
                    Some(&content),
                    "seed {seed}: {at}"
                );
            }
            let again = cluster.plan(&objects);
            assert!(again.waves.is_empty(), "seed {seed}: {again:#?}");
        }
    }
}
