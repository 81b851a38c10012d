//! A collector of traces: takes spans by OTLP over gRPC, as one that people run does.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

/// A span as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) name: String,
    /// What its process says of itself.
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: it has none.
    pub(crate) parent: String,
    /// The traces and spans that it names without being a part of them.
    pub(crate) links: Vec<(String, String)>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

impl Seen {
    /// Which service it comes from, and which cluster.
    pub(crate) fn of(&self) -> (&str, &str) {
        let said = |name: &str| self.resource.get(name).map_or("", String::as_str);
        (said("service.name"), said("k8s.cluster.name"))
    }

    /// What it says, or nothing.
    pub(crate) fn says(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

type Spans = Arc<Mutex<Vec<Seen>>>;

/// The collector.
pub(crate) struct Collector {
    address: SocketAddr,
    /// What it shows, where it speaks TLS.
    identity: Option<Identity>,
    spans: Spans,
    serving: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Collector {
    pub(crate) async fn start() -> Collector {
        Collector::start_as(None).await
    }

    /// One that shows a certificate.
    pub(crate) async fn start_over_tls(identity: Identity) -> Collector {
        Collector::start_as(Some(identity)).await
    }

    async fn start_as(identity: Option<Identity>) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Collector {
            address: listener.local_addr().unwrap(),
            identity,
            spans: Spans::default(),
            serving: Mutex::default(),
        };
        collector.serve(listener);
        collector
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme = self.identity.as_ref().map_or("http", |_| "https");
        format!("{scheme}://{}", self.address)
    }

    /// Is away from now on: connections end, and new ones are refused.
    pub(crate) async fn stop(&self) {
        let (stop, served) = self.serving.lock().unwrap().take().unwrap();
        stop.send(()).unwrap();
        served.await.unwrap();
    }

    /// Is back, at the same address.
    pub(crate) async fn come_back(&self) {
        self.serve(TcpListener::bind(self.address).await.unwrap());
    }

    /// All spans that came so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.spans.lock().unwrap().clone()
    }

    /// All spans of one trace.
    pub(crate) fn trace(&self, trace: &str) -> Vec<Seen> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace == trace);
        spans
    }

    fn serve(&self, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel::<()>();
        let service = TraceServiceServer::new(Taking(self.spans.clone()));
        let identity = self.identity.clone();
        let served = tokio::spawn(async move {
            let incoming = TcpIncoming::from(listener);
            let stopped = async { drop(stopped.await) };
            let mut server = Server::builder();
            if let Some(identity) = identity {
                let tls = ServerTlsConfig::new().identity(identity);
                server = server.tls_config(tls).unwrap();
            }
            let server = server.add_service(service);
            let served = server.serve_with_incoming_shutdown(incoming, stopped);
            served.await.unwrap();
        });
        *self.serving.lock().unwrap() = Some((stop, served));
    }
}

struct Taking(Spans);

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_process in request.into_inner().resource_spans {
            let resource = of_process.resource.unwrap_or_default();
            let resource = texts(&resource.attributes);
            let spans = of_process.scope_spans.into_iter();
            let spans = spans.flat_map(|scope| scope.spans);
            let seen = spans.map(|span| read(span, &resource));
            self.0.lock().unwrap().extend(seen);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn read(span: Span, resource: &BTreeMap<String, String>) -> Seen {
    let links = span.links.iter();
    Seen {
        resource: resource.clone(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        attributes: texts(&span.attributes),
        start_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano,
        name: span.name,
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |of: &KeyValue| {
        let value = of.value.as_ref().and_then(|value| value.value.as_ref());
        let text = match value {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::BoolValue(is)) => is.to_string(),
            other => format!("{other:?}"),
        };
        (of.key.clone(), text)
    };
    attributes.iter().map(text).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
