//! Traces: spans of an edit's way, handed to a collector by OTLP over gRPC.
//!
//! Owns the arguments, the one recorder of a process, and [`Span`]. Off unless an endpoint is named: then no span is
//! made, nothing is sent and no connection opened. Promises: whoever makes spans never waits for the collector, and
//! what waits for it is bounded; spans that do not fit are dropped. Never decides anything: where a trace comes from
//! may be forged, and the worst of it is a span in the wrong trace.

mod export;
mod ids;
mod span;

use std::{env, sync::OnceLock, time::Duration};

use clap::Args;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{SdkTracer, SdkTracerProvider},
};

pub use opentelemetry::{Value, trace::SpanKind};
pub use span::{Caller, Parent, Span, serve};

use crate::log::{Who, describe};

/// How long the last spans may take at the end of a process: an end is not to wait for a collector that is away.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);

/// The recorder of this process, where traces are on.
static RECORDER: OnceLock<Recorder> = OnceLock::new();

struct Recorder {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Where traces go.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct TraceArgs {
    /// The collector that spans are sent to, by OTLP over gRPC, as http://HOST:4317; none are made without one.
    /// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and OTEL_EXPORTER_OTLP_ENDPOINT name it too, and the other standard
    /// variables count
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

impl TraceArgs {
    /// Where to, if anywhere.
    fn endpoint(&self) -> Option<String> {
        let named = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let is =
            |name, word: &str| named(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return None;
        }
        self.otlp_endpoint
            .clone()
            .or_else(|| named(opentelemetry_otlp::OTEL_EXPORTER_OTLP_TRACES_ENDPOINT))
            .or_else(|| named(opentelemetry_otlp::OTEL_EXPORTER_OTLP_ENDPOINT))
    }
}

/// Begins to record, where an endpoint is named. Without a collector a process does its work all the same, so that an
/// endpoint that can't be used is logged and nothing else. To be called in a runtime, once.
pub fn start(who: &Who, about: &[(&'static str, &str)], args: &TraceArgs) {
    let Some(endpoint) = args.endpoint() else {
        return;
    };
    match Recorder::new(who, about, &endpoint) {
        Ok(recorder) => {
            if RECORDER.set(recorder).is_ok() {
                tracing::info!(endpoint = export::shown(&endpoint), "spans are recorded");
            }
        }
        Err(error) => {
            let error = describe(&error);
            tracing::error!(
                error,
                "no spans are recorded: the collector's endpoint can't be used"
            );
        }
    }
}

/// Sends what was recorded, as far as that is quick.
pub async fn finish() {
    let Some(recorder) = RECORDER.get() else {
        return;
    };
    let provider = recorder.provider.clone();
    // It waits for another thread, whose connection is driven by this runtime.
    let flushed =
        tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIME_MAX));
    if !matches!(flushed.await, Ok(Ok(()))) {
        tracing::debug!("the last spans are lost");
    }
}

/// Whether spans are recorded at all.
pub fn is_on() -> bool {
    RECORDER.get().is_some()
}

fn tracer() -> Option<&'static SdkTracer> {
    RECORDER.get().map(|recorder| &recorder.tracer)
}

impl Recorder {
    fn new(
        who: &Who,
        about: &[(&'static str, &str)],
        endpoint: &str,
    ) -> Result<Recorder, ExporterBuildError> {
        let exporter = export::exporter(endpoint)?;
        let provider = SdkTracerProvider::builder()
            .with_id_generator(ids::Ids::default())
            .with_batch_exporter(exporter)
            .with_resource(resource(who, about))
            .build();
        let tracer = provider.tracer("writ");
        Ok(Recorder { provider, tracer })
    }
}

/// What is said of this process beside every span. What the standard variables say wins.
fn resource(who: &Who, about: &[(&'static str, &str)]) -> Resource {
    let about = about.iter().filter(|(_, value)| !value.is_empty());
    let about = about.map(|(name, value)| KeyValue::new(*name, (*value).to_owned()));
    // The variable for the service's name goes before the one for attributes.
    let named = env::var("OTEL_SERVICE_NAME").ok();
    let named = named.filter(|name| !name.is_empty());
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", format!("writ-{}", who.component)),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", who.instance.clone()),
        ])
        .with_attributes(about)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_attributes(named.map(|name| KeyValue::new("service.name", name)))
        .build()
}
