//! What somebody may do: the rules that are for them, and one answer to one action. No I/O.
//!
//! Promises: a document has to be inside one rule as a whole, so that two rules never add up to what
//! neither gives; an edit is judged on what is there before it and on what it leaves, so that nobody
//! takes over, narrows, moves or deletes what they could not have made.

use std::{collections::BTreeSet, fmt};

use super::{
    ADMINISTRATORS, AccessRule, AccessSubject, Identity, Inlet, Role,
    grant::{REASONS_MAX, beyond},
    rule::{Bounds, Prefixes},
};
use crate::{
    model::{Cluster, ClusterPolicy, Record},
    placement,
    scope::Scope,
};

/// Who is administrator by the publisher's own configuration, whatever the log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Administrators(pub BTreeSet<AccessSubject>);

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// To make one policy of another, or none of one.
    Policy {
        /// What is in force.
        before: Option<&'a ClusterPolicy>,
        /// What would be.
        after: Option<&'a ClusterPolicy>,
    },
    /// The same with a registry entry.
    Cluster {
        /// What is in force.
        before: Option<&'a Cluster>,
        /// What would be.
        after: Option<&'a Cluster>,
    },
    /// The same with a record that is no proposal.
    Record {
        /// What is in force.
        before: Option<&'a Record>,
        /// What would be.
        after: Option<&'a Record>,
    },
    /// To do what is the whole fleet's: service tokens, keys.
    Fleet,
}

/// Why not: which rules there are for somebody, and which of their bounds failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Who asked.
    pub identity: String,
    /// What for, as a clause.
    pub action: String,
    /// Of each rule that is for them, why it does not do.
    pub reasons: Vec<String>,
}

impl std::error::Error for Denied {}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} may not {}: ", self.identity, self.action)?;
        if self.reasons.is_empty() {
            return f.write_str(
                "no access rule is for them; ask an administrator for one (writ get access)",
            );
        }
        f.write_str(&self.reasons.join("; "))?;
        f.write_str(
            ". Stay within these bounds, or ask an administrator to widen a rule (writ get access)",
        )
    }
}

/// What one identity may do.
#[derive(Debug, Clone)]
pub struct Rights<'a> {
    identity: &'a Identity,
    /// Nothing bounds them.
    is_unbounded: bool,
    rules: Vec<&'a AccessRule>,
}

impl<'a> Rights<'a> {
    /// The rights of an identity under the rules that are in force.
    ///
    /// Whoever broke the glass is administrator, as is whom the fleet's own authority calls one in a
    /// certificate, and whom the publisher's configuration names.
    pub fn of(
        identity: &'a Identity,
        administrators: &Administrators,
        rules: impl IntoIterator<Item = &'a AccessRule>,
    ) -> Rights<'a> {
        let rules: Vec<&AccessRule> = rules
            .into_iter()
            .filter(|rule| rule.is_for(identity))
            .collect();
        let sees_all = [Inlet::BreakGlass, Inlet::Dashboard, Inlet::Loopback];
        let is_unbounded = sees_all.contains(&identity.inlet)
            || (identity.inlet == Inlet::Certificate && identity.groups.contains(ADMINISTRATORS))
            || administrators.0.iter().any(|subject| subject.is(identity))
            || rules.iter().any(|rule| rule.is_of_all());
        Rights {
            identity,
            is_unbounded,
            rules,
        }
    }

    /// Whether nothing bounds them.
    pub fn are_unbounded(&self) -> bool {
        self.is_unbounded
    }

    /// Whether nothing at all is given to them.
    pub fn are_none(&self) -> bool {
        !self.is_unbounded && self.rules.is_empty()
    }

    /// What is given to them, rule by rule, for a person: `viewer of regions eu`.
    pub fn described(&self) -> Vec<String> {
        let of_all = |role| vec![format!("{role} of {}", Bounds::default())];
        match (self.is_unbounded, self.identity.inlet) {
            (true, Inlet::Dashboard) => of_all(Role::Viewer),
            (true, _) => of_all(Role::Administrator),
            (false, _) => {
                let rules = self.rules.iter();
                let said = rules.map(|rule| format!("{} of {}", rule.role, rule.bounds));
                said.collect::<BTreeSet<_>>().into_iter().collect()
            }
        }
    }

    /// Whether they see a policy that goes to these scopes.
    pub fn see_policy<'b>(&self, name: &str, scopes: impl IntoIterator<Item = &'b Scope>) -> bool {
        let scopes: Vec<&Scope> = scopes.into_iter().collect();
        self.is_unbounded
            || self.rules.iter().any(|rule| {
                fits(rule.bounds.names.as_ref(), name)
                    && scopes.iter().any(|scope| rule.bounds.meet(scope))
            })
    }

    /// Whether they see a cluster of a region and stage, given as its own scope.
    pub fn see_cluster(&self, place: &Scope) -> bool {
        self.is_unbounded || self.rules.iter().any(|rule| rule.bounds.hold(place))
    }

    /// Whether they see a record. Of a proposal the policy decides, which is asked for apart.
    pub fn see_record(&self, record: &Record) -> bool {
        self.is_unbounded
            || match record {
                Record::Rule(rule) => {
                    rule.is_for(self.identity)
                        || self.administer().any(|own| own.bounds.cover(&rule.bounds))
                }
                Record::Stage(rules) => {
                    let stage = Scope {
                        region: None,
                        stage: Some(rules.stage.clone()),
                    };
                    self.rules.iter().any(|own| own.bounds.meet(&stage))
                }
                Record::Proposal(_) | Record::Token(_) => false,
            }
    }

    fn administer(&self) -> impl Iterator<Item = &&'a AccessRule> {
        let rules = self.rules.iter();
        rules.filter(|rule| rule.role == Role::Administrator)
    }

    /// Decides.
    ///
    /// # Errors
    /// [`Denied`], with what failed.
    pub fn decide(&self, action: Action<'_>) -> Result<(), Denied> {
        if self.identity.inlet == Inlet::Dashboard {
            return Err(Denied {
                identity: self.identity.to_string(),
                action: words(&action),
                reasons: vec!["a dashboard only reads".to_owned()],
            });
        }
        if self.is_unbounded {
            return Ok(());
        }
        let decided = match action {
            Action::Policy { before, after } => {
                let all = [("is", before), ("would be", after)];
                let all = all
                    .into_iter()
                    .filter_map(|(when, of)| of.map(|of| (when, of)));
                self.all(all, fails_policy)
            }
            Action::Cluster { before, after } => {
                let all = [("is", before), ("would be", after)];
                let all = all
                    .into_iter()
                    .filter_map(|(when, of)| of.map(|of| (when, of)));
                self.all(all, fails_cluster)
            }
            Action::Record { before, after } => {
                let all = [("is", before), ("would be", after)];
                let all = all
                    .into_iter()
                    .filter_map(|(when, of)| of.map(|of| (when, of)));
                self.all(all, fails_record)
            }
            Action::Fleet => Err(self.rules.iter().map(|rule| not_of_all(rule)).collect()),
        };
        decided.map_err(|reasons: Vec<String>| Denied {
            identity: self.identity.to_string(),
            action: words(&action),
            reasons,
        })
    }

    /// Every document has to be inside one rule.
    fn all<'b, T: 'b>(
        &self,
        documents: impl Iterator<Item = (&'static str, &'b T)>,
        fails: impl Fn(&AccessRule, &T) -> Vec<String>,
    ) -> Result<(), Vec<String>> {
        for (when, document) in documents {
            let mut reasons = Vec::new();
            let mut is_inside = false;
            for rule in &self.rules {
                let failed = fails(rule, document);
                if failed.is_empty() {
                    is_inside = true;
                    break;
                }
                reasons.push(format!(
                    "as it {when}, rule {} ({}) does not reach: {}",
                    rule.name,
                    rule.role,
                    failed.join(", ")
                ));
            }
            if !is_inside {
                reasons.truncate(REASONS_MAX);
                return Err(reasons);
            }
        }
        // A name that is not there, made into none, is nobody's: the edit itself is refused for that.
        match self.rules.is_empty() {
            true => Err(Vec::new()),
            false => Ok(()),
        }
    }
}

fn words(action: &Action<'_>) -> String {
    let verb = |before: bool, after: bool| match (before, after) {
        (false, _) => "make",
        (true, true) => "change",
        (true, false) => "take away",
    };
    match action {
        Action::Policy { before, after } => {
            let name = after.or(*before).map(|of| of.name.to_string());
            let verb = verb(before.is_some(), after.is_some());
            format!("{verb} policy {}", name.unwrap_or_default())
        }
        Action::Cluster { before, after } => {
            let name = after.or(*before).map(|of| of.name.to_string());
            let verb = verb(before.is_some(), after.is_some());
            format!("{verb} cluster {}", name.unwrap_or_default())
        }
        Action::Record { before, after } => {
            let of = after.or(*before);
            let verb = verb(before.is_some(), after.is_some());
            match of {
                Some(of) => format!("{verb} {} {}", of.document_kind(), of.name()),
                None => format!("{verb} a record"),
            }
        }
        Action::Fleet => "do what is the whole fleet's".to_owned(),
    }
}

fn fits(names: Option<&Prefixes>, name: &str) -> bool {
    names.is_none_or(|names| names.fit(name))
}

fn fails_policy(rule: &AccessRule, policy: &ClusterPolicy) -> Vec<String> {
    let mut failed = Vec::new();
    if rule.role == Role::Viewer {
        return vec!["a viewer only reads".to_owned()];
    }
    if !fits(rule.bounds.names.as_ref(), policy.name.as_str()) {
        let names = rule.bounds.names.clone().unwrap_or_default();
        failed.push(format!("the name is outside names ({names})"));
    }
    let scopes = placement::policy_scopes(&policy.clusters);
    if let Some(outside) = scopes.iter().find(|scope| !rule.bounds.hold(scope)) {
        failed.push(outside_words(&rule.bounds, outside));
    }
    if rule.role == Role::Editor {
        failed.extend(beyond(policy, &rule.may_grant, rule.bounds.names.as_ref()));
    }
    failed
}

/// The scope is what counts, and not which clusters there are: a selector by labels or names reaches
/// whatever will have them.
fn outside_words(bounds: &Bounds, scope: &Scope) -> String {
    fn list<T: ToString>(bound: Option<&BTreeSet<T>>) -> String {
        let texts: Option<Vec<String>> = bound.map(|of| of.iter().map(T::to_string).collect());
        texts.map_or("all".to_owned(), |texts| texts.join(", "))
    }
    let hint = match (&scope.region, &scope.stage) {
        (None, _) if bounds.regions.is_some() => ": say spec.clusters.regions",
        (_, None) if bounds.stages.is_some() => ": say spec.clusters.stages",
        _ => "",
    };
    format!(
        "it goes to {scope}, outside regions {}; stages {}{hint}",
        list(bounds.regions.as_ref()),
        list(bounds.stages.as_ref())
    )
}

fn not_administrator(rule: &AccessRule) -> String {
    format!("a {} does not edit that", rule.role)
}

fn not_of_all(rule: &AccessRule) -> String {
    format!(
        "rule {} ({}) does not reach: only administrators of the whole fleet may",
        rule.name, rule.role
    )
}

fn fails_cluster(rule: &AccessRule, cluster: &Cluster) -> Vec<String> {
    if rule.role != Role::Administrator {
        return vec![not_administrator(rule)];
    }
    let place = Scope::of(&cluster.region, &cluster.stage);
    match rule.bounds.hold(&place) {
        true => Vec::new(),
        false => vec![outside_words(&rule.bounds, &place)],
    }
}

fn fails_record(rule: &AccessRule, record: &Record) -> Vec<String> {
    if rule.role != Role::Administrator {
        return vec![not_administrator(rule)];
    }
    let is_inside = match record {
        Record::Rule(of) => rule.bounds.cover(&of.bounds),
        // They are for all regions and all names.
        Record::Stage(of) => rule.bounds.cover(&Bounds {
            stages: Some([of.stage.clone()].into()),
            ..Bounds::default()
        }),
        Record::Proposal(_) | Record::Token(_) => false,
    };
    match is_inside {
        true => Vec::new(),
        false => vec!["its regions, stages or names are not all inside one's own".to_owned()],
    }
}
