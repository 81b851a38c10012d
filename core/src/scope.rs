//! Scopes and feeds: the key by which events find their clusters.

use std::fmt;

use crate::name::{self, Region, Stage};

/// A pair (region, stage), either of which may be all (`None`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The region, or all of them.
    pub region: Option<Region>,
    /// The stage, or all of them.
    pub stage: Option<Stage>,
}

impl Scope {
    /// The scope that every cluster listens to.
    pub fn all() -> Scope {
        Scope {
            region: None,
            stage: None,
        }
    }

    /// The scope of one region and stage.
    pub fn of(region: &Region, stage: &Stage) -> Scope {
        Scope {
            region: Some(region.clone()),
            stage: Some(stage.clone()),
        }
    }

    /// The four scopes that a cluster listens to: its pair, (region, all), (all, stage), (all, all).
    pub fn listened_by(region: &Region, stage: &Stage) -> [Scope; 4] {
        [
            Scope::of(region, stage),
            Scope {
                region: Some(region.clone()),
                stage: None,
            },
            Scope {
                region: None,
                stage: Some(stage.clone()),
            },
            Scope::all(),
        ]
    }

    /// Whether a cluster of that region and stage listens to this scope.
    pub fn covers(&self, region: &Region, stage: &Stage) -> bool {
        self.region.as_ref().is_none_or(|own| own == region)
            && self.stage.as_ref().is_none_or(|own| own == stage)
    }

    /// Reads the two tokens of a subject; `all` stands for every region or stage.
    pub fn parse(region: &str, stage: &str) -> Result<Scope, name::Error> {
        let region = (region != name::ALL)
            .then(|| Region::parse(region))
            .transpose()?;
        let stage = (stage != name::ALL)
            .then(|| Stage::parse(stage))
            .transpose()?;
        Ok(Scope { region, stage })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let region = self.region.as_ref().map_or(name::ALL, Region::as_str);
        let stage = self.stage.as_ref().map_or(name::ALL, Stage::as_str);
        write!(f, "{region}.{stage}")
    }
}

impl std::str::FromStr for Scope {
    type Err = name::Error;

    fn from_str(text: &str) -> Result<Scope, name::Error> {
        let (region, stage) = text
            .split_once('.')
            .ok_or_else(|| name::Error::NotALabel(text.to_owned()))?;
        Scope::parse(region, stage)
    }
}

/// What an event speaks of. Clusters order first: a registry entry has to be known before a policy
/// with a label selector can be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A registry entry.
    Cluster,
    /// A policy.
    Policy,
}

impl Kind {
    /// Both kinds, in their order.
    pub const ALL: [Kind; 2] = [Kind::Cluster, Kind::Policy];

    /// The token that stands for the kind in subjects.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Cluster => "cluster",
            Kind::Policy => "policy",
        }
    }

    /// Reads the token.
    pub fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One scope and kind: the unit that has an index and that a subscriber follows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feed {
    /// What the feed carries.
    pub kind: Kind,
    /// For whom.
    pub scope: Scope,
}

impl Feed {
    /// The eight feeds of a cluster.
    pub fn listened_by(region: &Region, stage: &Stage) -> Vec<Feed> {
        let scopes = Scope::listened_by(region, stage);
        Kind::ALL
            .into_iter()
            .flat_map(|kind| {
                scopes.iter().map(move |scope| Feed {
                    kind,
                    scope: scope.clone(),
                })
            })
            .collect()
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.scope)
    }
}

impl std::str::FromStr for Feed {
    type Err = name::Error;

    fn from_str(text: &str) -> Result<Feed, name::Error> {
        let refuse = || name::Error::NotALabel(text.to_owned());
        let (kind, scope) = text.split_once('.').ok_or_else(refuse)?;
        Ok(Feed {
            kind: Kind::parse(kind).ok_or_else(refuse)?,
            scope: scope.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_listens_to_eight_feeds_that_all_cover_it() {
        let (eu, prod) = (Region::parse("eu").unwrap(), Stage::parse("prod").unwrap());
        let feeds = Feed::listened_by(&eu, &prod);
        assert_eq!(feeds.len(), 8);
        assert!(feeds.iter().all(|feed| feed.scope.covers(&eu, &prod)));
        let us = Region::parse("us").unwrap();
        assert_eq!(
            feeds
                .iter()
                .filter(|feed| feed.scope.covers(&us, &prod))
                .count(),
            4
        );
    }

    #[test]
    fn a_feed_reads_back_as_it_was_written() {
        for text in ["policy.eu.prod", "cluster.all.all", "policy.all.stage"] {
            assert_eq!(text.parse::<Feed>().unwrap().to_string(), text);
        }
        for text in [
            "policy.eu",
            "node.eu.prod",
            "policy.eu.pr_od",
            "policy.eu.prod.x",
        ] {
            assert!(text.parse::<Feed>().is_err(), "{text}");
        }
    }
}
