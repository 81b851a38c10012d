//! A cluster with its subscriber, and how a subscriber is started: the process of the Deployment that was
//! applied to the cluster, with its arguments and mounts, as `writ __subscriber`; with the token of its
//! own account, never as the administrator.

use std::path::Path;

use super::join::{self, Place};
use super::pod::Pod;
use super::registry::Registry;
use super::{Error, Periods};
use crate::bus::Bus;
use crate::cluster::Cluster;
use crate::process::{Launcher, Process, Spec};

/// One cluster of the fleet.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) cluster: Cluster,
    pub(super) place: Place,
    /// Where its subscriber finds the bus, if not where its manifest says.
    pub(super) bus_url: Option<String>,
    /// None while it was killed.
    pub(super) subscriber: Option<Process>,
    /// What the last subscriber was started with, kept as the cluster has it.
    pub(super) pod: Option<Pod>,
}

/// What all subscribers start with.
pub(super) struct Starter<'a> {
    pub(super) launcher: &'a Launcher,
    pub(super) bus: &'a Bus,
    /// By which the administrator finds the API.
    pub(super) fleet_file: &'a Path,
    /// The fleet's state folder.
    pub(super) folder: &'a Path,
    pub(super) periods: Periods,
}

impl Starter<'_> {
    /// Has the cluster join, starts its subscriber and waits until the publisher hears it.
    pub(super) async fn member(
        &self,
        registry: &Registry,
        cluster: Cluster,
        place: Place,
    ) -> Result<Member, Error> {
        let writ = self.launcher.writ_executable().ok_or(Error::NoWrit)?;
        let bus_url = self.bus.url_of(&place.region);
        join::join(writ, self.fleet_file, &place, &cluster, bus_url).await?;
        let (subscriber, pod) = self.subscriber(&cluster, None).await?;
        registry.hear(&place.name, &subscriber, None).await?;
        Ok(Member {
            cluster,
            place,
            bus_url: None,
            subscriber: Some(subscriber),
            pod: Some(pod),
        })
    }

    /// Starts the subscriber alone; `bus_url`: where it finds the bus, if not where its manifest says.
    pub(super) async fn subscriber(
        &self,
        cluster: &Cluster,
        bus_url: Option<&str>,
    ) -> Result<(Process, Pod), Error> {
        let writ = self.launcher.writ_executable().ok_or(Error::NoWrit)?;
        let name = cluster.name();
        let folder = self.folder.join("clusters").join(name);
        let pod = Pod::read(cluster, &folder).await;
        let pod = pod.map_err(|source| Error::Pod {
            name: name.to_owned(),
            source,
        })?;
        let log = self.folder.join(format!("logs/{name}.subscriber.log"));
        let spec = Spec::new(format!("subscriber {name}"), writ, log).arg("__subscriber");
        let spec = pod.args.iter().fold(spec, |spec, arg| {
            match bus_url.filter(|_| arg.starts_with("--nats-url=")) {
                Some(url) => spec.flag("nats-url", url),
                None => spec.arg(arg),
            }
        });
        // Shorter than what a Deployment asks for, so that a person sees silence within seconds.
        let spec = spec
            .flag("pulse-period-s", self.periods.pulse_s.to_string())
            .flag("admin-address-file", folder.join("admin"));
        Ok((self.launcher.start(spec).await?, pod))
    }
}
