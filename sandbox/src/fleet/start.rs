//! The start of a fleet: keys first; then the bus with its publisher and, side by side, etcd
//! with all clusters; then every cluster is registered and its subscriber heard from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::try_join_all;
use writ_core::name::{ClusterName, Region, Stage};

use super::join::Place;
use super::member::Member;
use super::publisher::Publisher;
use super::registry::Registry;
use super::state::StateFolder;
use super::{Error, Fleet, FleetOptions, PUBLISHER};
use crate::api::ApiKeys;
use crate::bus::Bus;
use crate::cluster::Cluster;
use crate::identity::BusKeys;
use crate::keys::PublisherKeys;
use crate::kubernetes::Kubernetes;
use crate::parts::Parts;

pub(super) async fn start(
    state: Arc<StateFolder>,
    parts: Parts,
    options: FleetOptions,
) -> Result<Fleet, Error> {
    let (folder, progress) = (state.path().to_owned(), &options.progress);
    let bus_keys = BusKeys::generate(&options.leaf_regions()).map_err(crate::keys::Error::from)?;
    let publisher_keys = PublisherKeys::make(&bus_keys, PUBLISHER, &folder.join("keys"))?;
    let api = ApiKeys::make(&folder.join("api"))?;
    let places = places(&options)?;

    let text = format!("{} clusters, each with its controllers", places.len());
    let ((bus, publisher), (kubernetes, clusters)) = tokio::try_join!(
        progress.step(
            "bus and publisher",
            start_bus(
                &options,
                &parts,
                &folder,
                &bus_keys,
                (&publisher_keys, &api)
            )
        ),
        progress.step(&text, start_clusters(&options, &parts, &folder, &places)),
    )?;

    let registry = Registry::new(&api, publisher.address())?;
    let mut fleet = Fleet {
        members: BTreeMap::new(),
        publisher,
        registry,
        bus,
        kubernetes,
        publisher_keys,
        api,
        parts,
        launcher: options.launcher,
        periods: options.periods,
        state,
    };
    fleet.write_fleet_file()?;
    let fleet_file = fleet.fleet_file();
    let start = fleet.starter(&fleet_file);
    let members = clusters
        .into_iter()
        .zip(places)
        .map(|(cluster, place)| start.member(&fleet.registry, cluster, place));
    let members = options
        .progress
        .step("registered and heard from", try_join_all(members))
        .await?;
    fleet.members = members.into_iter().map(named).collect();
    fleet.write_access()?;
    Ok(fleet)
}

fn named(member: Member) -> (ClusterName, Member) {
    (member.place.name.clone(), member)
}

/// The name of the `number`th cluster of a pair.
pub(super) fn cluster_name(
    region: &Region,
    stage: &Stage,
    number: usize,
) -> Result<ClusterName, Error> {
    let name = ClusterName::parse(&format!("{region}-{stage}-{number}"));
    Ok(name.map_err(crate::keys::Error::from)?)
}

fn places(options: &FleetOptions) -> Result<Vec<Place>, Error> {
    let pairs = options.regions.iter().flat_map(|region| {
        options
            .stages
            .iter()
            .map(move |stage| (region.clone(), stage.clone()))
    });
    pairs
        .map(|(region, stage)| {
            let name = cluster_name(&region, &stage, 1)?;
            Ok(Place {
                name,
                region,
                stage,
            })
        })
        .collect()
}

async fn start_bus(
    options: &FleetOptions,
    parts: &Parts,
    folder: &Path,
    bus_keys: &BusKeys,
    (publisher_keys, api): (&PublisherKeys, &ApiKeys),
) -> Result<(Bus, Publisher), Error> {
    let bus = Bus::start(&options.launcher, parts, folder, bus_keys).await?;
    let (launcher, periods) = (&options.launcher, options.periods);
    let publisher =
        Publisher::start(launcher, folder, bus.url(), (publisher_keys, api), periods).await?;
    Ok((bus, publisher))
}

async fn start_clusters(
    options: &FleetOptions,
    parts: &Parts,
    folder: &Path,
    places: &[Place],
) -> Result<(Kubernetes, Vec<Cluster>), Error> {
    let kubernetes = Kubernetes::start(&options.launcher, parts, folder).await?;
    let starts = places.iter().map(|place| {
        let name = &place.name;
        start_cluster(&kubernetes, name, options.api_servers(name))
    });
    let clusters = try_join_all(starts).await?;
    Ok((kubernetes, clusters))
}

pub(super) async fn start_cluster(
    kubernetes: &Kubernetes,
    name: &ClusterName,
    api_servers: usize,
) -> Result<Cluster, Error> {
    kubernetes
        .cluster(name.as_str(), api_servers)
        .await
        .map_err(|source| Error::Cluster {
            name: name.to_string(),
            source: Box::new(source),
        })
}
