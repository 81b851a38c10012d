//! What every field of the documents means: one table.
//!
//! Owns the words of `explain KIND.FIELD`. Whether a value is right is the publisher's to say.

/// One field of a document, or a document's kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// `ClusterPolicy.spec.grants.name`; lists have no part of their own in it.
    pub(crate) path: &'static str,
    /// What it holds, in a word or two.
    pub(crate) holds: &'static str,
    /// What it means. The first sentence stands for itself.
    pub(crate) text: &'static str,
}

impl Field {
    /// The first sentence.
    pub(crate) fn summary(&self) -> &'static str {
        self.text
            .split_once(". ")
            .map_or(self.text.trim_end_matches('.'), |(first, _)| first)
    }
}

const fn field(path: &'static str, holds: &'static str, text: &'static str) -> Field {
    Field { path, holds, text }
}

/// Every field, parents before their children.
#[rustfmt::skip]
pub(crate) const ALL: &[Field] = &[
    field("Cluster", "document", "A cluster of the registry. Policies select clusters by name, region, stage and labels."),
    field("Cluster.apiVersion", "text", "Version of the format: writ.dev/v1alpha1."),
    field("Cluster.kind", "text", "Cluster."),
    field("Cluster.metadata", "map", "Name, labels and annotations."),
    field("Cluster.metadata.name", "name", "Its name, unique in the fleet: lower-case letters, digits and '-', at most 63."),
    field("Cluster.metadata.labels", "map of text", "What policies may select it by, beside region and stage."),
    field("Cluster.metadata.annotations", "map of text", "For people and tools. Nothing is selected by them."),
    field("Cluster.spec", "map", "Where the cluster is and how it takes part."),
    field("Cluster.spec.region", "name", "Its region. Does not change for a name: remove the cluster and register it anew. `all` is reserved."),
    field("Cluster.spec.stage", "name", "Its stage, for instance prod. Does not change for a name. `all` is reserved."),
    field("Cluster.spec.endpoint", "https URL", "Its API server, for people. Writ does not dial it."),
    field("Cluster.spec.caBundle", "base64 of PEM", "The CA of that API server, for people and tools; at most 64 KiB."),
    field("Cluster.spec.visibility", "fleet | stage | scope", "Which clusters may see this entry. fleet (the default): all of them; stage: those of its stage; scope: those of its own region and stage."),
    field("Cluster.spec.mode", "enforce | observe", "What its subscriber does. enforce (the default): applies policies; observe: plans and reports, and writes nothing. An observing cluster counts in no denominator."),
    field("Cluster.spec.phase", "pending | active | draining | cutOff", "How far it belongs to the fleet. Set by writ cluster add|approve|cut-off|remove|reenrol; a document may leave it out, or state what is in force."),
    field("Cluster.spec.enrolment", "map", "What it may enrol with: the public key of a token that is out, or an approved fingerprint. Set by the same commands; does not travel to clusters."),
    field("Cluster.spec.enrolment.token", "base64", "The Ed25519 public key of the token that is out."),
    field("Cluster.spec.enrolment.expiresMs", "number", "Until when the token is taken, in milliseconds since 1970."),
    field("Cluster.spec.enrolment.approved", "fingerprint", "The fingerprint of the keys that may enter."),
    field("Cluster.spec.keys", "map", "Its public keys, both made in the cluster. Set by enrolment, not by applying a document."),
    field("Cluster.spec.keys.bus", "nkey", "Its identity on the bus: the public key of an nkey user, U…."),
    field("Cluster.spec.keys.ack", "base64", "The Ed25519 public key under which its acknowledgements are verified."),

    field("AccessRule", "document", "Who may do what, where. Kept in the log; no cluster hears of it. An edit has to be inside one rule as a whole, before and after."),
    field("AccessRule.apiVersion", "text", "Version of the format: writ.dev/v1alpha1."),
    field("AccessRule.kind", "text", "AccessRule."),
    field("AccessRule.metadata", "map", "Name, labels and annotations."),
    field("AccessRule.metadata.name", "name", "Its name, unique among access rules and rules of stages."),
    field("AccessRule.metadata.labels", "map of text", "For people and tools."),
    field("AccessRule.metadata.annotations", "map of text", "For people and tools."),
    field("AccessRule.spec", "map", "For whom, as what, and its bounds."),
    field("AccessRule.spec.subjects", "list of maps", "For whom. Each item has either user or group. Required."),
    field("AccessRule.spec.subjects.user", "INLET:USER", "One user of an inlet (oidc, mtls, token), such as oidc:ann@example.com. The same name of another inlet is somebody else."),
    field("AccessRule.spec.subjects.group", "INLET:GROUP", "A group that the inlet vouches for, such as mtls:operators."),
    field("AccessRule.spec.role", "viewer | editor | administrator", "As what. viewer: reads; editor: also edits policies, as far as mayGrant goes; administrator: also edits clusters and access rules, and without bounds everything."),
    field("AccessRule.spec.regions", "list of names", "Only in these regions. Left out: in all. What goes to all regions is outside."),
    field("AccessRule.spec.stages", "list of names", "Only in these stages. Left out: in all."),
    field("AccessRule.spec.names", "list of beginnings", "Only policies whose names begin with one of these. Cluster-wide roles and bindings that an editor's policy carries have to begin so, too."),
    field("AccessRule.spec.mayGrant", "map", "What an editor's policies may hold and give. Required of editors, and only theirs. What is not listed is not given."),
    field("AccessRule.spec.mayGrant.clusterRoles", "list of names", "ClusterRoles that may be given although the policy does not carry them, by their whole names."),
    field("AccessRule.spec.mayGrant.rules", "list of maps", "What Roles and ClusterRoles that the policy carries may hold at most. Compared as RBAC does."),
    field("AccessRule.spec.mayGrant.rules.apiGroups", "list of text", "API groups; \"\" is the core group, * any."),
    field("AccessRule.spec.mayGrant.rules.resources", "list of text", "Resources: pods, pods/log, */scale, or * for all of them."),
    field("AccessRule.spec.mayGrant.rules.verbs", "list of text", "Verbs, or * for all, escalate, bind and impersonate among them."),
    field("AccessRule.spec.mayGrant.rules.nonResourceURLs", "list of text", "URLs, which may end with *. Instead of apiGroups and resources."),
    field("AccessRule.spec.mayGrant.clusterWide", "true | false", "Whether grants and bindings may hold in the whole cluster. false is the default."),
    field("AccessRule.spec.mayGrant.namespaces", "list of beginnings", "The namespaces in which the policy may give and hold something, by the beginning of their names; * for all. Grants by namespace labels need *."),
    field("AccessRule.spec.mayGrant.subjects", "map", "Who may be given something."),
    field("AccessRule.spec.mayGrant.subjects.users", "list of beginnings", "Users whose names begin so; * for all."),
    field("AccessRule.spec.mayGrant.subjects.groups", "list of beginnings", "Groups whose names begin so; * for all."),
    field("AccessRule.spec.mayGrant.subjects.serviceAccounts", "list of beginnings", "Service accounts whose NAMESPACE/NAME begins so; * for all."),

    field("StageRules", "document", "What an edit of a stage needs. Of several for one stage the strictest counts."),
    field("StageRules.apiVersion", "text", "Version of the format: writ.dev/v1alpha1."),
    field("StageRules.kind", "text", "StageRules."),
    field("StageRules.metadata", "map", "Name, labels and annotations."),
    field("StageRules.metadata.name", "name", "Its name, unique among access rules and rules of stages."),
    field("StageRules.metadata.labels", "map of text", "For people and tools."),
    field("StageRules.metadata.annotations", "map of text", "For people and tools."),
    field("StageRules.spec", "map", "Which stage, and its guards."),
    field("StageRules.spec.stage", "name", "The stage. Required."),
    field("StageRules.spec.confirmAboveClusters", "number", "An edit that reaches more clusters of the stage needs its number repeated (--confirm). 25 is the default, also of stages without rules."),
    field("StageRules.spec.confirmAboveSubjects", "number", "An edit by which more subjects lose access in the stage needs its number repeated. 10 is the default."),
    field("StageRules.spec.requireApproval", "true | false", "Whether policies that go to the stage need a second person (writ apply --propose, writ approve). false is the default."),
    field("StageRules.spec.protectedGroups", "list of text", "Groups that keep at least one grant in every cluster of the stage where they have one. Only a break-glass administrator takes the last."),

    field("ClusterPolicy", "document", "What a set of clusters must hold. Objects, grants, and which clusters; at most 1,000 objects with the bindings of grants, and 256 KiB."),
    field("ClusterPolicy.apiVersion", "text", "Version of the format: writ.dev/v1alpha1."),
    field("ClusterPolicy.kind", "text", "ClusterPolicy."),
    field("ClusterPolicy.metadata", "map", "Name, labels and annotations of the policy itself."),
    field("ClusterPolicy.metadata.name", "name", "Its name, unique in the fleet. Bindings of grants are named after it: writ:POLICY:GRANT."),
    field("ClusterPolicy.metadata.labels", "map of text", "Labels of the policy itself, for `writ get policies -l`. They are not put on its objects."),
    field("ClusterPolicy.metadata.annotations", "map of text", "For people and tools."),
    field("ClusterPolicy.spec", "map", "Which clusters, and what they must hold."),
    field("ClusterPolicy.spec.clusters", "map", "Which clusters. Required: the whole fleet is said (all: true), never meant by leaving out. What is given beside each other must all hold."),
    field("ClusterPolicy.spec.clusters.all", "true", "Every cluster of the fleet, those that come later too."),
    field("ClusterPolicy.spec.clusters.names", "list of names", "These clusters. Names that the registry does not have (yet) are allowed and shown."),
    field("ClusterPolicy.spec.clusters.regions", "list of names", "The clusters of these regions."),
    field("ClusterPolicy.spec.clusters.stages", "list of names", "The clusters of these stages."),
    field("ClusterPolicy.spec.clusters.matchLabels", "map of text", "The clusters whose registry entry carries all of these labels. Evaluated in the cluster: the scope, not the label, is the unit of confidentiality."),
    field("ClusterPolicy.spec.clusters.matchExpressions", "list of maps", "As Kubernetes has them. All must hold for the labels of the registry entry."),
    field("ClusterPolicy.spec.clusters.matchExpressions.key", "text", "The label's key."),
    field("ClusterPolicy.spec.clusters.matchExpressions.operator", "In | NotIn | Exists | DoesNotExist", "How the label is compared."),
    field("ClusterPolicy.spec.clusters.matchExpressions.values", "list of text", "What it is compared with. Empty for Exists and DoesNotExist."),
    field("ClusterPolicy.spec.clusters.exclude", "map", "Of those, not these. Takes the same fields as clusters, but for exclude."),
    field("ClusterPolicy.spec.clusters.exclude.names", "list of names", "Not these clusters."),
    field("ClusterPolicy.spec.clusters.exclude.regions", "list of names", "Not the clusters of these regions."),
    field("ClusterPolicy.spec.clusters.exclude.stages", "list of names", "Not the clusters of these stages."),
    field("ClusterPolicy.spec.clusters.exclude.matchLabels", "map of text", "Not the clusters that carry all of these labels."),
    field("ClusterPolicy.spec.clusters.exclude.matchExpressions", "list of maps", "Not the clusters for which all of these hold."),
    field("ClusterPolicy.spec.enforcement", "correct | report", "What happens to drift. correct (the default): what was changed by hand is put back at once; report: it is reported as Drifted and left."),
    field("ClusterPolicy.spec.removal", "prune | orphan", "What happens to objects that leave the policy. prune (the default): they are deleted; orphan: they stay, without Writ's marks. Namespaces always stay, unless the object says writ.dev/removal: delete and the cluster's owner gave that right."),
    field("ClusterPolicy.spec.deletionProtection", "true | false", "Whether deleting or narrowing the policy is refused until this is cleared. false is the default."),
    field("ClusterPolicy.spec.adopt", "never | ifIdentical | always", "Whether objects that are there already may be taken over. never (the default): they are refused as ForeignObject; ifIdentical: where they are what the policy wants anyway; always. Only where the cluster's owner agrees: annotation writ.dev/adoptable: \"true\" on the object, or the ceiling."),
    field("ClusterPolicy.spec.reason", "text", "Why the edit is made. Kept with the edit, not sent to clusters; `--reason` wins over it."),
    field("ClusterPolicy.spec.objects", "list of manifests", "Kubernetes manifests as they are. Namespace, ServiceAccount, Role, RoleBinding, ClusterRole, ClusterRoleBinding, ResourceQuota, LimitRange, NetworkPolicy; ConfigMap and further kinds where the cluster's owner gave the right to them. What servers own (uid, status, managedFields, …) is dropped, and said."),
    field("ClusterPolicy.spec.grants", "list of maps", "Who gets which role, and where, without writing bindings. RBAC has no deny, and neither has this."),
    field("ClusterPolicy.spec.grants.name", "name", "Its name within the policy. The binding is named writ:POLICY:GRANT, so that it stays when its subjects change."),
    field("ClusterPolicy.spec.grants.subjects", "list of maps", "Who. Each item has exactly one of user, group and serviceAccount."),
    field("ClusterPolicy.spec.grants.subjects.user", "text", "A user, by the name that the cluster's authentication gives."),
    field("ClusterPolicy.spec.grants.subjects.group", "text", "A group, likewise."),
    field("ClusterPolicy.spec.grants.subjects.serviceAccount", "NAMESPACE/NAME", "A service account of the cluster."),
    field("ClusterPolicy.spec.grants.clusterRole", "name", "The ClusterRole that is granted. Exactly one of clusterRole and role is given."),
    field("ClusterPolicy.spec.grants.role", "name", "The Role of each of the namespaces that is granted. Cannot be cluster-wide."),
    field("ClusterPolicy.spec.grants.namespaces", "list of names", "In these namespaces: a RoleBinding each. Exactly one of namespaces, namespaceSelector and clusterWide is given."),
    field("ClusterPolicy.spec.grants.clusterWide", "true", "In the whole cluster: a ClusterRoleBinding."),
    field("ClusterPolicy.spec.grants.namespaceSelector", "map", "In the namespaces whose labels match, those that come later too."),
    field("ClusterPolicy.spec.grants.namespaceSelector.matchLabels", "map of text", "Namespaces that carry all of these labels."),
    field("ClusterPolicy.spec.grants.namespaceSelector.matchExpressions", "list of maps", "As Kubernetes has them. All must hold for the namespace's labels."),
    field("ClusterPolicy.spec.grants.namespaceSelector.matchExpressions.key", "text", "The label's key."),
    field("ClusterPolicy.spec.grants.namespaceSelector.matchExpressions.operator", "In | NotIn | Exists | DoesNotExist", "How the label is compared."),
    field("ClusterPolicy.spec.grants.namespaceSelector.matchExpressions.values", "list of text", "What it is compared with. Empty for Exists and DoesNotExist."),
    field("ClusterPolicy.spec.grants.expires", "map", "When the grant ends by itself. Not supported yet, and refused."),
    field("ClusterPolicy.spec.grants.expires.at", "time", "The moment, as 2026-11-23T20:00:00Z. Not supported yet, and refused."),
    field("ClusterPolicy.spec.overrides", "list of maps", "Merges of objects per cluster. Not supported yet, and refused."),
];

/// The kinds.
pub(crate) fn kinds() -> impl Iterator<Item = &'static Field> {
    ALL.iter().filter(|field| !field.path.contains('.'))
}

/// The field that a person names: capitals do not matter, and `[]` or `[0]` is left out.
pub(crate) fn find(topic: &str) -> Option<&'static Field> {
    let parts: Vec<&str> = topic
        .split('.')
        .map(|part| part.split('[').next().unwrap_or(part))
        .collect();
    let kind = match parts.first()?.to_lowercase().as_str() {
        "cluster" | "clusters" | "wcl" => "Cluster",
        "clusterpolicy" | "clusterpolicies" | "policy" | "policies" | "wpol" => "ClusterPolicy",
        "accessrule" | "accessrules" | "access" => "AccessRule",
        "stagerules" | "stagerule" => "StageRules",
        _ => return None,
    };
    let path = [&[kind], &parts[1..]].concat().join(".");
    ALL.iter()
        .find(|field| field.path.eq_ignore_ascii_case(&path))
}

/// The fields directly in a field.
pub(crate) fn children(parent: &Field) -> Vec<&'static Field> {
    let is_child = |field: &&Field| {
        let rest = field.path.strip_prefix(parent.path);
        let rest = rest.and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(|rest| !rest.contains('.'))
    };
    ALL.iter().filter(is_child).collect()
}
