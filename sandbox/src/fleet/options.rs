//! What a fleet is made of, as its starter wants it.

use std::path::PathBuf;

use writ_core::name::{ClusterName, Region, Stage};

use crate::process::Launcher;
use crate::progress::Progress;

/// How often publishers and subscribers give signs of life, and clusters are given credentials anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Seconds between two beats.
    pub beat_s: u32,
    /// Seconds until a beat expires.
    pub beat_expiry_s: u32,
    /// Seconds between two pulses of a cluster; three missed make it silent.
    pub pulse_s: u32,
    /// Seconds that a cluster's credentials last.
    pub credentials_s: u32,
}

impl Default for Periods {
    /// Short signs of life, so that a person sees silence within seconds: production has 5, 30 and 15.
    fn default() -> Self {
        Self {
            beat_s: 1,
            beat_expiry_s: 5,
            pulse_s: 2,
            credentials_s: 7 * 24 * 60 * 60,
        }
    }
}

/// The fleet to start: a cluster `<region>-<stage>-1` for every pair.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// The state folder; none is a temporary one, removed on a clean stop.
    pub dir: Option<PathBuf>,
    /// The regions.
    pub regions: Vec<Region>,
    /// The stages.
    pub stages: Vec<Stage>,
    /// How children are started.
    pub launcher: Launcher,
    /// The cluster that gets two API servers on its etcd prefix.
    pub second_api_server_on: Option<ClusterName>,
    /// Whether each region has a leaf node of its own, to which its clusters connect.
    pub leafs: bool,
    /// Regions without one even so: their clusters are at the hub.
    pub leafless: Vec<Region>,
    /// Where progress is shown.
    pub progress: Progress,
    /// How often signs of life are given.
    pub periods: Periods,
}

impl FleetOptions {
    /// A fleet in a temporary folder, one API server a cluster, progress hidden.
    pub fn new(launcher: Launcher, regions: Vec<Region>, stages: Vec<Stage>) -> Self {
        Self {
            dir: None,
            regions,
            stages,
            launcher,
            second_api_server_on: None,
            leafs: false,
            leafless: Vec::new(),
            progress: Progress::hidden(),
            periods: Periods::default(),
        }
    }

    pub(super) fn leaf_regions(&self) -> Vec<Region> {
        let regions = self.regions.iter().filter(|_| self.leafs);
        let regions = regions.filter(|region| !self.leafless.contains(region));
        regions.cloned().collect()
    }

    pub(super) fn api_servers(&self, name: &ClusterName) -> usize {
        if self.second_api_server_on.as_ref() == Some(name) {
            2
        } else {
            1
        }
    }
}
