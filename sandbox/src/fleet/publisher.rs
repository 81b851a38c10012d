//! The fleet's publisher: `writ __publisher` as a child.

use std::path::Path;
use std::time::Duration;

use super::{Error, PUBLISHER, Periods};
use crate::api::ApiKeys;
use crate::keys::PublisherKeys;
use crate::process::{Launcher, Process, STOP_LIMIT, Spec};

/// How long a publisher may take to read an empty log and listen; it takes under a second.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running publisher.
#[derive(Debug)]
pub(super) struct Publisher {
    process: Process,
    address: String,
    dashboard: String,
}

impl Publisher {
    /// Starts it and waits until it listens.
    pub(super) async fn start(
        launcher: &Launcher,
        folder: &Path,
        bus_url: &str,
        (keys, api): (&PublisherKeys, &ApiKeys),
        periods: Periods,
    ) -> Result<Self, Error> {
        let writ = launcher.writ_executable().ok_or(Error::NoWrit)?;
        let address_file = folder.join("publisher/address");
        crate::files::make_folder(&folder.join("publisher"))?;
        // One that was there before would be read as the new one.
        let _ = std::fs::remove_file(&address_file);
        let dashboard_file = folder.join("publisher/dashboard");
        let _ = std::fs::remove_file(&dashboard_file);
        let log = folder.join(format!("logs/{PUBLISHER}.log"));
        let mut spec = Spec::new(PUBLISHER, writ, log)
            .arg("__publisher")
            .flag("name", PUBLISHER)
            .flag("listen", "127.0.0.1:0")
            .flag("address-file", &address_file)
            .flag("admin-address-file", folder.join("publisher/admin"))
            .flag("dashboard", "127.0.0.1:0")
            .flag("dashboard-address-file", &dashboard_file)
            .flag("nats-url", bus_url)
            .flag("nats-credentials-file", &keys.bus_file)
            .flag("registrar-key-dir", &keys.registrar_folder)
            .flag("signing-key-file", &keys.signing_file)
            .flag("trust-file", &keys.trust_file)
            .flag("beat-period-s", periods.beat_s.to_string())
            .flag("beat-expiry-s", periods.beat_expiry_s.to_string())
            .flag("pulse-period-s", periods.pulse_s.to_string())
            .flag("credentials-life-s", periods.credentials_s.to_string());
        for argument in api.arguments() {
            spec = spec.arg(argument);
        }
        let process = launcher.start(spec).await?;
        let listening = async || {
            let text = std::fs::read_to_string(&address_file).ok()?;
            let address = text.trim().trim_start_matches("http://");
            // A file that is read while it is written ends anywhere.
            address
                .parse::<std::net::SocketAddr>()
                .ok()
                .filter(|_| text.ends_with('\n'))
        };
        let address = process.ready("it listened", READY_LIMIT, listening).await?;
        // Written before the API's.
        let dashboard = std::fs::read_to_string(&dashboard_file).unwrap_or_default();
        Ok(Self {
            process,
            address: format!("https://{address}"),
            dashboard: format!("http://{}", dashboard.trim()),
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn dashboard(&self) -> &str {
        &self.dashboard
    }

    pub(super) async fn kill(&self) {
        self.process.kill().await;
    }

    pub(super) async fn stop(&self) {
        self.process.stop(STOP_LIMIT).await;
    }
}
