//! The way to the collector.
//!
//! Logs once that it is away, and once that it is back: spans are sent every few seconds, and each attempt may fail.

use std::{
    env, fs,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter as OtlpExporter, WithExportConfig as _, WithTonicConfig as _,
    tonic_types::transport::{Certificate, ClientTlsConfig},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

use crate::log::describe;

/// The authority of the collector's certificate, in PEM, beside those of this machine.
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";

/// An exporter to an endpoint; it connects when there is something to send.
pub(super) fn exporter(endpoint: &str) -> Result<Announcing<OtlpExporter>, ExporterBuildError> {
    let mut builder = OtlpExporter::builder().with_tonic().with_endpoint(endpoint);
    if endpoint.starts_with("https://") {
        let mut tls = ClientTlsConfig::new().with_enabled_roots();
        let file =
            env::var("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE").or_else(|_| env::var(CERTIFICATE));
        if let Ok(file) = file {
            match fs::read(&file) {
                Ok(pem) => tls = tls.ca_certificate(Certificate::from_pem(pem)),
                Err(error) => tracing::error!(
                    file,
                    error = &error as &dyn std::error::Error,
                    "the collector's authority is not read"
                ),
            }
        }
        builder = builder.with_tls_config(tls);
    }
    Ok(Announcing {
        exporter: builder.build()?,
        lost: AtomicU64::new(0),
    })
}

/// An endpoint as it may be logged: without the user and password that a URL can hold.
pub(super) fn shown(endpoint: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            let host = host.split(['/', '?', '#']).next().unwrap_or_default();
            format!("{scheme}://{host}")
        }
        None => "not a URL".to_owned(),
    }
}

/// An exporter that tells when it fails and when it no longer does.
#[derive(Debug)]
pub(super) struct Announcing<E> {
    exporter: E,
    /// Spans lost since it began to fail; 0: it does not.
    lost: AtomicU64,
}

impl<E: SpanExporter> SpanExporter for Announcing<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::info!(lost, "spans reach the collector again");
                }
            }
            Err(error) => {
                if self.lost.fetch_add(count, Ordering::Relaxed) == 0 {
                    let error = describe(error);
                    tracing::warn!(
                        error,
                        "spans do not reach the collector, and are lost; nothing else is"
                    );
                }
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_of_an_endpoint_holds_no_password() {
        assert_eq!(
            shown("http://user:pass@collector:4317/path?token=x"),
            "http://collector:4317"
        );
        assert_eq!(shown("https://collector?token=x"), "https://collector");
        assert_eq!(shown("collector:4317"), "not a URL");
    }
}
