//! A cluster with its subscriber, and how a subscriber is started: `writ __subscriber` as a
//! child, with the token of its own account, never as the administrator.

use std::path::Path;

use super::registry::Registry;
use super::{Error, Periods};
use crate::bus::Bus;
use crate::cluster::Cluster;
use crate::keys::ClusterKeys;
use crate::process::{Launcher, Process, Spec};

/// One cluster of the fleet.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) cluster: Cluster,
    pub(super) keys: ClusterKeys,
    /// Where its subscriber finds the bus, if not where its region does.
    pub(super) bus_url: Option<String>,
    /// None while it was killed.
    pub(super) subscriber: Option<Process>,
}

/// What all subscribers start with.
pub(super) struct Starter<'a> {
    pub(super) launcher: &'a Launcher,
    pub(super) bus: &'a Bus,
    pub(super) trust_file: &'a Path,
    /// The fleet's state folder.
    pub(super) folder: &'a Path,
    pub(super) periods: Periods,
}

impl Starter<'_> {
    /// Registers the cluster, starts its subscriber and waits until the publisher hears it.
    pub(super) async fn member(
        &self,
        registry: &Registry,
        cluster: Cluster,
        keys: ClusterKeys,
    ) -> Result<Member, Error> {
        registry.register(&cluster, &keys).await?;
        let subscriber = self.subscriber(&cluster, &keys, None).await?;
        registry.hear(&keys.user.name, &subscriber, None).await?;
        Ok(Member {
            cluster,
            keys,
            bus_url: None,
            subscriber: Some(subscriber),
        })
    }

    /// Starts the subscriber alone; `bus_url`: where it finds the bus, if not where its region does.
    pub(super) async fn subscriber(
        &self,
        cluster: &Cluster,
        keys: &ClusterKeys,
        bus_url: Option<&str>,
    ) -> Result<Process, Error> {
        let writ = self.launcher.writ_executable().ok_or(Error::NoWrit)?;
        let (user, name) = (&keys.user, cluster.name());
        let log = self.folder.join(format!("logs/{name}.subscriber.log"));
        let spec = Spec::new(format!("subscriber {name}"), writ, log)
            .arg("__subscriber")
            .flag("cluster", name)
            .flag("region", user.region.as_str())
            .flag("stage", user.stage.as_str());
        // It reads and writes through the first API server; the second is there to be asked.
        let spec = cluster
            .endpoints()
            .take(1)
            .fold(spec, |spec, url| spec.flag("api-server", url));
        let spec = spec
            .flag("ca-file", cluster.authority_file())
            .flag("token-file", cluster.token_file())
            .flag("nats-url", bus_url.unwrap_or(self.bus.url_of(&user.region)))
            .flag("keys-dir", &keys.folder)
            .flag("trust-file", self.trust_file)
            // One process at a time runs here, and the next one is started when it has ended.
            .flag("identity", name)
            .flag("pulse-period-s", self.periods.pulse_s.to_string());
        Ok(self.launcher.start(spec).await?)
    }
}
