//! Policies by chance: valid documents over every kind, out of a seed that a failing test prints.
//!
//! Owns their shapes, for tests of the model and for tests against real API servers alike: what is made
//! here has to be accepted by both. Names begin with the policy's, so that any number of them fit into
//! one cluster.

use serde_json::{Map, Value, json};

/// Most objects of one generated policy beside its namespaces.
const OBJECTS_MAX: usize = 12;

/// Makes policies.
#[derive(Debug, Clone)]
pub struct Policies {
    state: u64,
    further_kinds: bool,
}

impl Policies {
    /// The policies of a seed.
    pub fn of(seed: u64) -> Policies {
        Policies {
            state: seed,
            further_kinds: true,
        }
    }

    /// Without what a cluster's owner has to opt in to: ConfigMaps and further kinds.
    pub fn of_common_kinds(seed: u64) -> Policies {
        Policies {
            further_kinds: false,
            ..Policies::of(seed)
        }
    }

    /// The next policy, for the whole fleet.
    pub fn next(&mut self, name: &str) -> Value {
        let namespaces = [format!("{name}-a"), format!("{name}-b")];
        let mut objects: Vec<Value> = namespaces.iter().map(|of| self.namespace(of)).collect();
        for index in 0..self.below(OBJECTS_MAX) {
            let namespace = &namespaces[self.below(namespaces.len())];
            objects.push(self.object(&format!("{name}-{index}"), namespace));
        }
        let grants: Vec<Value> = (0..self.below(5))
            .map(|index| self.grant(index, &namespaces))
            .collect();
        json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
            "metadata": {"name": name, "labels": self.labels()},
            "spec": {
                "clusters": {"all": true},
                "enforcement": self.pick(&["correct", "correct", "report"]),
                "removal": self.pick(&["prune", "prune", "orphan"]),
                "adopt": self.pick(&["never", "ifIdentical", "always"]),
                "deletionProtection": self.coin(),
                "objects": objects, "grants": grants,
            },
        })
    }

    /// The same policy with everything in another order whose order says nothing.
    pub fn shuffled(&mut self, policy: &Value) -> Value {
        let mut policy = policy.clone();
        let spec = &mut policy["spec"];
        self.shuffle(&mut spec["objects"]);
        self.shuffle(&mut spec["grants"]);
        for grant in spec["grants"].as_array_mut().into_iter().flatten() {
            for key in ["subjects", "namespaces"] {
                if grant.get(key).is_some() {
                    self.shuffle(&mut grant[key]);
                }
            }
        }
        policy
    }

    fn object(&mut self, name: &str, namespace: &str) -> Value {
        let (api_version, kind, body) = self.kind_and_body();
        let is_cluster_wide = kind.starts_with("Cluster");
        let mut metadata = json!({"name": name, "labels": self.labels()});
        if !is_cluster_wide {
            metadata["namespace"] = json!(namespace);
        }
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        for (key, value) in body {
            object[key] = value;
        }
        object
    }

    fn kind_and_body(&mut self) -> (&'static str, &'static str, Map<String, Value>) {
        let rbac = "rbac.authorization.k8s.io/v1";
        let kinds = if self.further_kinds { 10 } else { 8 };
        let (api_version, kind, body) = match self.below(kinds) {
            0 => ("v1", "ServiceAccount", self.account()),
            1 => ("v1", "LimitRange", self.limit_range()),
            2 => ("v1", "ResourceQuota", self.quota()),
            3 => (rbac, "ClusterRole", self.cluster_role()),
            4 => (rbac, "Role", json!({"rules": [self.rule()]})),
            5 => (rbac, "ClusterRoleBinding", self.binding()),
            6 => (rbac, "RoleBinding", self.binding()),
            7 => (
                "networking.k8s.io/v1",
                "NetworkPolicy",
                self.network_policy(),
            ),
            8 => (
                "v1",
                "ConfigMap",
                json!({"data": {"key": self.word(), "empty": ""}}),
            ),
            _ => ("policy/v1", "PodDisruptionBudget", self.disruption_budget()),
        };
        (
            api_version,
            kind,
            body.as_object().cloned().unwrap_or_default(),
        )
    }

    fn namespace(&mut self, name: &str) -> Value {
        let mut metadata = json!({"name": name, "labels": self.labels()});
        if self.coin() {
            metadata["annotations"] = json!({"writ.dev/removal": "delete"});
        }
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    }

    fn account(&mut self) -> Value {
        match self.coin() {
            true => json!({"automountServiceAccountToken": self.coin()}),
            false => json!({"imagePullSecrets": [{"name": self.word()}]}),
        }
    }

    fn limit_range(&mut self) -> Value {
        let (request, limit) = (self.below(500) + 1, self.below(500) + 501);
        let container = json!({
            "type": "Container",
            "default": {"cpu": format!("{limit}m"), "memory": format!("{limit}Mi")},
            "defaultRequest": {"cpu": format!("{request}m"), "memory": format!("{request}Mi")},
            "max": {"cpu": "2", "memory": self.pick(&["1Gi", "1024Mi", "2e9"])},
        });
        let claim = json!({"type": "PersistentVolumeClaim", "max": {"storage": "10Gi"}});
        let pod = json!({"type": "Pod", "max": {"cpu": self.pick(&["4", "4000m", "4.0"])}});
        let limits = [vec![container], vec![pod, claim]];
        json!({"spec": {"limits": limits[self.below(2)]}})
    }

    fn quota(&mut self) -> Value {
        let mut spec = json!({"hard": {"pods": (self.below(100) + 1).to_string()}});
        match self.below(4) {
            0 => spec["scopes"] = json!(["BestEffort"]),
            1 => {
                let values = json!([self.word()]);
                let expression =
                    json!({"scopeName": "PriorityClass", "operator": "In", "values": values});
                spec["scopeSelector"] = json!({"matchExpressions": [expression]});
            }
            2 => {
                spec["hard"]["count/deployments.apps"] = json!("20");
                spec["hard"]["requests.memory"] = json!(self.pick(&["1024Mi", "1Gi", "0.5Gi"]));
            }
            _ => spec["hard"]["requests.cpu"] = json!(self.pick(&["0.5", "500m", "1e3", "20"])),
        }
        json!({"spec": spec})
    }

    fn cluster_role(&mut self) -> Value {
        match self.below(3) {
            0 => {
                let selector = json!({"matchLabels": {"example.com/aggregate": self.word()}});
                json!({"aggregationRule": {"clusterRoleSelectors": [selector]}})
            }
            1 => json!({"rules": [{"nonResourceURLs": ["/version"], "verbs": ["get"]}]}),
            _ => json!({"rules": [self.rule(), self.rule()]}),
        }
    }

    fn rule(&mut self) -> Value {
        let resources = ["pods", "services", "configmaps", "pods/log"];
        json!({
            "apiGroups": [""], "resources": [self.pick(&resources)],
            "verbs": [self.pick(&["get", "list", "watch"])],
        })
    }

    fn binding(&mut self) -> Value {
        let group = "rbac.authorization.k8s.io";
        let role = json!({"apiGroup": group, "kind": "ClusterRole", "name": "view"});
        let user = json!({"apiGroup": group, "kind": "User", "name": self.word()});
        let account =
            json!({"kind": "ServiceAccount", "name": self.word(), "namespace": "default"});
        let subjects = [vec![user.clone()], vec![account, user]];
        json!({"roleRef": role, "subjects": subjects[self.below(2)]})
    }

    fn network_policy(&mut self) -> Value {
        let peer = match self.below(3) {
            0 => json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}),
            1 => json!({"podSelector": {"matchLabels": {"app": self.word()}}}),
            _ => json!({"namespaceSelector": {}, "podSelector": {}}),
        };
        let port = self.below(1_000) + 1;
        let ports = json!([{"protocol": "TCP", "port": port, "endPort": port + self.below(9)}]);
        json!({"spec": {
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [peer], "ports": ports}],
            "egress": [{"ports": [{"protocol": "UDP", "port": "dns"}]}],
        }})
    }

    fn disruption_budget(&mut self) -> Value {
        let selector = json!({"matchLabels": {"app": self.word()}});
        json!({"spec": {"minAvailable": self.below(9), "selector": selector}})
    }

    fn grant(&mut self, index: usize, namespaces: &[String]) -> Value {
        let subjects = json!([
            {"group": self.word()},
            {"user": format!("{}@example.com", self.word())},
            {"serviceAccount": format!("default/{}", self.word())},
        ]);
        let mut grant = json!({
            "name": format!("g{index}"), "subjects": subjects,
            "clusterRole": self.pick(&["view", "edit"]),
        });
        match self.below(3) {
            0 => grant["clusterWide"] = json!(true),
            1 => grant["namespaces"] = json!(namespaces),
            _ => {
                let values = json!([self.word(), self.word() + "x"]);
                let expression = json!({"key": "team", "operator": "In", "values": values});
                grant["namespaceSelector"] = json!({"matchExpressions": [expression]});
            }
        }
        grant
    }

    fn labels(&mut self) -> Value {
        json!({"example.com/team": self.word()})
    }

    fn word(&mut self) -> String {
        let words = ["payments", "search", "ledger", "web", "data", "ops"];
        self.pick(&words).to_owned()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn shuffle(&mut self, list: &mut Value) {
        let items = list.as_array_mut().expect("a list is shuffled");
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }

    /// SplitMix64; good enough for shapes, and the same everywhere.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound as u64).expect("below a usize")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use writ_core::model::{ClusterPolicy, CompiledPolicy, Document, FEATURES, parse};

    use super::*;

    /// Policies that each run makes.
    const COUNT: u64 = 400;

    fn parsed(value: &Value, seed: u64) -> ClusterPolicy {
        match parse(value) {
            Ok(parsed) => match parsed.document {
                Document::Policy(policy) => policy,
                Document::Cluster(_) | Document::Record(_) => {
                    panic!("seed {seed}: a policy was made")
                }
            },
            Err(violations) => panic!("seed {seed}: {violations:?}\n{value:#}"),
        }
    }

    #[test]
    fn every_policy_compiles_decodes_and_has_one_form_in_any_order() {
        let mut kinds = BTreeSet::new();
        let mut features = BTreeSet::new();
        for seed in 0..COUNT {
            let mut policies = Policies::of(seed);
            let value = policies.next("generated");
            let policy = parsed(&value, seed);
            let compiled = policy.compile();
            let decoded = CompiledPolicy::decode(compiled.bytes())
                .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            for object in &policy.objects {
                assert!(decoded.objects.contains(object), "seed {seed}: {object:?}");
                kinds.insert(object.reference.kind.clone());
            }
            let expanded = policy
                .grants
                .iter()
                .flat_map(|grant| grant.expand(&policy.name));
            let count = policy.objects.len() + expanded.count();
            assert_eq!(decoded.objects.len(), count, "seed {seed}");
            assert!(
                decoded.objects.is_sorted_by_key(|of| &of.reference),
                "seed {seed}"
            );
            for _ in 0..3 {
                let other = parsed(&policies.shuffled(&value), seed).compile();
                assert_eq!(other.bytes(), compiled.bytes(), "seed {seed}");
            }
            features.extend(Document::Policy(policy).requires());
        }
        assert_eq!(kinds.len(), 11, "{kinds:?}");
        let of_policies = FEATURES.iter().filter(|feature| **feature != "observe");
        assert!(of_policies.eq(features.iter()), "{features:?}");
    }
}
