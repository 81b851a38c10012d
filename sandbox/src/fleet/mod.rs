//! A whole fleet: bus, publisher, clusters and their subscribers. Owns the order in which they
//! start, who is registered, and the state folder. Promises that a started fleet is registered
//! and every cluster heard from; that its end takes everything with it. A temporary folder is
//! removed on a clean stop and kept, and named, on a failure.

mod access;
mod error;
mod join;
mod member;
mod options;
mod pod;
mod publisher;
mod registry;
mod start;
mod state;
mod summary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub use error::Error;
use join::Place;
use member::{Member, Starter};
pub use options::{FleetOptions, Periods};
use publisher::Publisher;
use registry::Registry;
use state::StateFolder;
pub(crate) use state::prepare;
pub use summary::{ClusterSummary, Summary};
use tonic::transport::Channel;
use writ_core::name::{ClusterName, Region, Stage};

use crate::api::ApiKeys;
use crate::bus::Bus;
use crate::cluster::Cluster;
use crate::keys::PublisherKeys;
use crate::kubernetes::Kubernetes;
use crate::leaf::Leaf;
use crate::parts::{Part, Parts};
use crate::process::{Launcher, STOP_LIMIT};

/// The one publisher's name.
const PUBLISHER: &str = "publisher-1";

/// A running fleet. Dropping it kills its processes and removes a temporary folder, unless that
/// happens in a panic: then the folder is kept and named on standard error.
#[derive(Debug)]
pub struct Fleet {
    // Fields drop in this order: subscribers before what they talk to.
    members: BTreeMap<ClusterName, Member>,
    publisher: Publisher,
    registry: Registry,
    bus: Bus,
    kubernetes: Kubernetes,
    publisher_keys: PublisherKeys,
    api: ApiKeys,
    parts: Parts,
    launcher: Launcher,
    periods: Periods,
    state: Arc<StateFolder>,
}

impl Fleet {
    /// Starts everything and returns when every cluster is registered and heard from.
    ///
    /// On a failure all processes are ended, and the state folder with all logs is kept.
    /// Dropping the future ends them too, and removes a temporary folder.
    pub async fn start(options: FleetOptions) -> Result<Self, Error> {
        let parts = Parts::find(&options.progress).await?;
        let state = Arc::new(StateFolder::open(options.dir.as_deref())?);
        let started = Box::pin(start::start(Arc::clone(&state), parts, options)).await;
        started.map_err(|source| {
            state.keep();
            let folder = state.path().to_owned();
            Error::Start {
                folder,
                source: Box::new(source),
            }
        })
    }

    /// The folder with state, logs, `kubeconfig` and `env`.
    pub fn dir(&self) -> &Path {
        self.state.path()
    }

    /// Where the publisher's API listens, `https://127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.publisher.address()
    }

    /// Where the dashboard is, `http://127.0.0.1:PORT`.
    pub fn dashboard(&self) -> &str {
        self.publisher.dashboard()
    }

    /// A channel of the administrator's to the API; it connects when it is used.
    pub fn channel(&self) -> Result<Channel, Error> {
        Ok(self.api.channel(self.address(), None)?)
    }

    /// The certificates of the API.
    pub fn api(&self) -> &ApiKeys {
        &self.api
    }

    /// The file that describes this fleet to its administrator, for `writ --fleet`.
    pub fn fleet_file(&self) -> PathBuf {
        self.dir().join("fleet.yaml")
    }

    /// The URL of the bus.
    pub fn bus_url(&self) -> &str {
        self.bus.url()
    }

    /// The administrator's kubeconfig with one context per cluster.
    pub fn kubeconfig_file(&self) -> PathBuf {
        self.dir().join("kubeconfig")
    }

    /// A file to source: sets KUBECONFIG, WRIT_FLEET and PATH.
    pub fn env_file(&self) -> PathBuf {
        self.dir().join("env")
    }

    /// The executable of a part, for instance kubectl.
    pub fn part(&self, part: Part) -> &Path {
        self.parts.path(part)
    }

    /// The clusters in the order of their names.
    pub fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        self.members.values().map(|member| &member.cluster)
    }

    /// One cluster.
    pub fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.members.get(name).map(|member| &member.cluster)
    }

    /// Where the etcd of all clusters is asked; a cluster's keys begin with `/<name>/`.
    pub fn etcd_endpoint(&self) -> &str {
        self.kubernetes.etcd_endpoint()
    }

    /// Starts the API servers of a cluster again that were killed; returns when they are ready.
    pub async fn start_api_servers(&mut self, name: &ClusterName) -> Result<(), Error> {
        let started = self.member(name)?.cluster.start_api_servers().await;
        started.map_err(|source| Error::Cluster {
            name: name.to_string(),
            source: Box::new(source),
        })
    }

    /// Starts, registers and hears from one more cluster; its name is `<region>-<stage>-<n>`.
    pub async fn add_cluster(
        &mut self,
        region: &Region,
        stage: &Stage,
    ) -> Result<ClusterName, Error> {
        let name = self.next_name(region, stage)?;
        let place = Place {
            name: name.clone(),
            region: region.clone(),
            stage: stage.clone(),
        };
        let cluster = start::start_cluster(&self.kubernetes, &name, 1).await?;
        let fleet_file = self.fleet_file();
        let member = self
            .starter(&fleet_file)
            .member(&self.registry, cluster, place)
            .await?;
        self.members.insert(name.clone(), member);
        self.write_access()?;
        Ok(name)
    }

    /// Kills the publisher (SIGKILL) and starts another one, with another address.
    pub async fn restart_publisher(&mut self) -> Result<(), Error> {
        self.publisher.kill().await;
        self.publisher = Publisher::start(
            &self.launcher,
            self.state.path(),
            self.bus.url(),
            (&self.publisher_keys, &self.api),
            self.periods,
        )
        .await?;
        self.registry = Registry::new(&self.api, self.publisher.address())?;
        self.write_access()
    }

    /// Ends the bus and leaves everything else to itself, leaf nodes among it.
    pub async fn stop_bus(&mut self) {
        self.bus.stop_hub().await;
    }

    /// Kills the bus (SIGKILL); everything that is connected to it goes on.
    pub async fn kill_bus(&self) {
        self.bus.kill().await;
    }

    /// Starts the bus again on the same address, with whatever lies in [`Fleet::store_folder`] by now.
    pub async fn start_bus(&mut self) -> Result<(), Error> {
        self.start_bus_bare().await?;
        Ok(self.bus.install().await?)
    }

    /// The same, without making the streams that are missing: for a backup to be restored to.
    pub async fn start_bus_bare(&mut self) -> Result<(), Error> {
        Ok(self.bus.start_again().await?)
    }

    /// Throws away what a region's leaf node mirrors and has it mirrored anew: of a log that was lost or
    /// restored it would never be what the log is.
    pub async fn mirror_anew(&mut self, region: &Region) -> Result<(), Error> {
        Ok(self.bus.mirror_anew(region).await?)
    }

    /// Where the bus stores the log and the acks; to be copied or replaced while it is stopped.
    pub fn store_folder(&self) -> PathBuf {
        self.dir().join("nats/jetstream")
    }

    /// Kills a cluster's subscriber (SIGKILL); the cluster itself goes on.
    pub async fn kill_subscriber(&mut self, name: &ClusterName) -> Result<(), Error> {
        if let Some(subscriber) = self.member(name)?.subscriber.take() {
            subscriber.kill().await;
        }
        Ok(())
    }

    /// Lets a cluster's subscriber find the bus elsewhere from its next start on: behind a proxy.
    pub fn lead_subscriber(
        &mut self,
        name: &ClusterName,
        bus_url: Option<String>,
    ) -> Result<(), Error> {
        self.member(name)?.bus_url = bus_url;
        Ok(())
    }

    /// Starts a cluster's subscriber again where it does not run; returns when the publisher
    /// has heard from it.
    pub async fn start_subscriber(&mut self, name: &ClusterName) -> Result<(), Error> {
        if self
            .member(name)?
            .subscriber
            .as_ref()
            .is_some_and(|process| process.ended().is_none())
        {
            return Ok(());
        }
        let since = self.registry.last_heard(name).await?;
        let fleet_file = self.fleet_file();
        let (starter, registry) = (self.starter(&fleet_file), &self.registry);
        let member = &self.members[name];
        let bus_url = member.bus_url.as_deref();
        let started = starter.subscriber(&member.cluster, bus_url).await?;
        let (subscriber, pod) = started;
        registry.hear(name, &subscriber, since).await?;
        let member = self.member(name)?;
        (member.subscriber, member.pod) = (Some(subscriber), Some(pod));
        Ok(())
    }

    /// Kills a cluster's subscriber if it runs and starts it again, without waiting until the publisher
    /// has heard from it: its bus may be cut off, and there may be no registry that knows the cluster.
    pub async fn spawn_subscriber(&mut self, name: &ClusterName) -> Result<(), Error> {
        self.kill_subscriber(name).await?;
        let fleet_file = self.fleet_file();
        let starter = self.starter(&fleet_file);
        let member = self.members.get(name);
        let member = member.ok_or_else(|| Error::unknown(name, self.members.keys()))?;
        let bus_url = member.bus_url.as_deref();
        let (subscriber, pod) = starter.subscriber(&member.cluster, bus_url).await?;
        let member = self.member(name)?;
        (member.subscriber, member.pod) = (Some(subscriber), Some(pod));
        Ok(())
    }

    /// A region's leaf node, if the fleet has them.
    pub fn leaf(&self, region: &Region) -> Option<&Leaf> {
        self.bus.leaf(region)
    }

    /// Ends everything and removes a temporary folder; one that was named is kept.
    pub async fn stop(self) -> Result<(), Error> {
        self.end().await;
        self.state.remove_temporary()?;
        Ok(())
    }

    /// Ends everything and keeps the folder, whose path is returned: for what went wrong.
    pub async fn keep(self) -> PathBuf {
        self.end().await;
        self.state.keep();
        self.dir().to_owned()
    }

    async fn end(&self) {
        let begun = Instant::now();
        let subscribers = self
            .members
            .values()
            .filter_map(|member| member.subscriber.as_ref());
        // The talkers first, so that no log ends with lines about lost connections.
        tokio::join!(
            futures::future::join_all(subscribers.map(|process| process.stop(STOP_LIMIT))),
            self.publisher.stop(),
        );
        for pod in self.members.values().filter_map(|of| of.pod.as_ref()) {
            pod.end().await;
        }
        let clusters = self.members.values().map(|member| member.cluster.stop());
        tokio::join!(futures::future::join_all(clusters), self.bus.stop());
        self.kubernetes.stop().await;
        tracing::debug!(
            seconds = begun.elapsed().as_secs_f64(),
            "the fleet has ended"
        );
    }

    fn starter<'a>(&'a self, fleet_file: &'a Path) -> Starter<'a> {
        Starter {
            launcher: &self.launcher,
            bus: &self.bus,
            fleet_file,
            folder: self.state.path(),
            periods: self.periods,
        }
    }

    fn member(&mut self, name: &ClusterName) -> Result<&mut Member, Error> {
        let names = self.members.keys().cloned().collect::<Vec<_>>();
        self.members
            .get_mut(name)
            .ok_or_else(|| Error::unknown(name, names.iter()))
    }

    fn next_name(&self, region: &Region, stage: &Stage) -> Result<ClusterName, Error> {
        let mut number = 1;
        loop {
            let name = start::cluster_name(region, stage, number)?;
            if !self.members.contains_key(&name) {
                return Ok(name);
            }
            number += 1;
        }
    }
}
