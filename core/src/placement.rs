//! Where a document goes: the scopes whose subscribers receive it.
//!
//! Promises that every cluster that a policy matches listens to one of the policy's scopes. A scope
//! may reach clusters that the policy is not for: the selector is evaluated again in each cluster.
//! Never asks the registry, so that a cluster registered later needs no policy placed anew, and a
//! label that changes moves nothing. The price: a selector of names or labels alone reaches all.

use std::collections::BTreeSet;

use crate::model::{Cluster, ClusterSelector, Criteria, Visibility};
use crate::name::{Region, Stage};
use crate::scope::Scope;

/// Most scopes of one policy. An edit that moves a policy writes an event, an index and sometimes a
/// base into every scope that it leaves and enters, in one batch of at most 1,000 messages.
pub const SCOPES_MAX: usize = 64;

/// The smallest set of scopes that covers a policy's clusters: pairs where regions and stages are
/// given, whole regions or stages where only one is, and all otherwise. Beyond [`SCOPES_MAX`] it
/// falls back to whole regions, then whole stages, then all. Scopes that are excluded as a whole are
/// left out, so the set is empty if nothing is left.
pub fn policy_scopes(selector: &ClusterSelector) -> BTreeSet<Scope> {
    let every = Criteria::default();
    let include = selector.include().unwrap_or(&every);
    let (regions, stages) = (options(&include.regions), options(&include.stages));
    let candidates = [
        product(&regions, &stages),
        product(&regions, &[None]),
        product(&[None], &stages),
        product(&[None], &[None]),
    ];
    let narrowest = candidates.into_iter().find_map(|pairs| {
        // One more than allowed is enough to know that there are too many.
        let kept = pairs
            .filter(|scope| !is_excluded(scope, selector))
            .take(SCOPES_MAX + 1);
        let scopes: BTreeSet<Scope> = kept.collect();
        (scopes.len() <= SCOPES_MAX).then_some(scopes)
    });
    narrowest.unwrap_or_else(|| BTreeSet::from([Scope::all()]))
}

/// The scopes of a registry entry, by its visibility. The cluster itself listens to each of them, so
/// it always finds its own entry.
pub fn cluster_scopes(cluster: &Cluster) -> BTreeSet<Scope> {
    BTreeSet::from([match cluster.visibility {
        Visibility::Fleet => Scope::all(),
        Visibility::Stage => Scope {
            region: None,
            stage: Some(cluster.stage.clone()),
        },
        Visibility::Scope => Scope::of(&cluster.region, &cluster.stage),
    }])
}

/// The values of one side, or all of them where none is given.
fn options<T: Clone>(values: &BTreeSet<T>) -> Vec<Option<T>> {
    if values.is_empty() {
        vec![None]
    } else {
        values.iter().cloned().map(Some).collect()
    }
}

fn product<'a>(
    regions: &'a [Option<Region>],
    stages: &'a [Option<Stage>],
) -> Box<dyn Iterator<Item = Scope> + 'a> {
    Box::new(regions.iter().flat_map(move |region| {
        stages.iter().map(move |stage| Scope {
            region: region.clone(),
            stage: stage.clone(),
        })
    }))
}

/// Whether all clusters of a scope are excluded, by region and stage alone.
fn is_excluded(scope: &Scope, selector: &ClusterSelector) -> bool {
    fn covers<T: Ord>(excluded: &BTreeSet<T>, value: Option<&T>) -> bool {
        excluded.is_empty() || value.is_some_and(|value| excluded.contains(value))
    }
    selector.exclude().is_some_and(|exclude| {
        exclude.is_of_places()
            && covers(&exclude.regions, scope.region.as_ref())
            && covers(&exclude.stages, scope.stage.as_ref())
    })
}
