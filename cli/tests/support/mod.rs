//! A publisher of a few lines, on a port that the system chooses, and a way to run commands against
//! it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Cursor, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, Stream, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use writ::{Cli, Console, Interrupt};
use writ_proto::v1;
use writ_proto::v1::ack_service_server::{AckService, AckServiceServer};
use writ_proto::v1::cluster_service_server::{ClusterService, ClusterServiceServer};
use writ_proto::v1::policy_service_server::{PolicyService, PolicyServiceServer};
use writ_proto::v1::status_request::Of;

/// How a command ended, and what it wrote.
pub(crate) struct Ran {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) async fn run(publisher: &Publisher, line: &str) -> Ran {
    run_at(&publisher.address, line, "").await
}

pub(crate) async fn run_with(publisher: &Publisher, line: &str, stdin: &str) -> Ran {
    run_at(&publisher.address, line, stdin).await
}

pub(crate) async fn run_at(address: &str, line: &str, stdin: &str) -> Ran {
    run_interrupted(line, address, stdin, futures::future::pending().boxed()).await
}

pub(crate) async fn run_interrupted(
    line: &str,
    address: &str,
    stdin: &str,
    interrupt: BoxFuture<'static, ()>,
) -> Ran {
    // Nobody's certificates are at hand here; without an address there is nothing to say of it.
    let plain = |address: &str| match address.trim() {
        "" => String::new(),
        address => format!("http://{address}"),
    };
    let addresses: Vec<String> = address.split(',').map(plain).collect();
    let address = format!("--address={}", addresses.join(","));
    let words = ["writ", address.as_str()]
        .into_iter()
        .chain(line.split_whitespace());
    let cli = Cli::try_parse_from(words).expect("the line is in the grammar");
    let (out, err) = (Shared::default(), Shared::default());
    let mut console = Console::plain(Box::new(out.clone()), Box::new(err.clone()));
    let interrupt: Interrupt = interrupt.shared();
    let mut stdin = Cursor::new(stdin.as_bytes().to_vec());
    let exit = writ::run(cli, &mut stdin, &mut console, interrupt).await;
    Ran {
        code: exit.code(),
        out: out.text(),
        err: err.text(),
    }
}

pub(crate) fn refuse(text: &str, part: &str) {
    assert!(!text.contains(part), "{text}");
}

/// An address where nobody listens: it was just given back.
pub(crate) async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
    watched: Arc<Notify>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<(&'static str, String), (u64, String)>,
    log: Vec<String>,
    failures: BTreeMap<String, (Status, bool)>,
    request_ids: BTreeMap<String, BTreeSet<String>>,
    revision: u64,
    /// The traces that calls of the registry named, without those that named none.
    traces: Vec<String>,
    counts: (u32, u32, u32, u32),
    /// What the next streams of a status that asks for changes say, until they end.
    changes: VecDeque<Vec<v1::PolicyStatus>>,
}

impl Publisher {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let publisher = Self {
            address,
            state: Arc::default(),
            watched: Arc::default(),
        };
        publisher.set_counts((2, 0, 0, 0));
        let state = publisher.state.clone();
        let traced = move |request: Request<()>| {
            let trace = request.metadata().get("traceparent");
            let trace = trace.map(|trace| trace.to_str().unwrap().to_owned());
            state.lock().unwrap().traces.extend(trace);
            Ok(request)
        };
        let server = Server::builder()
            .add_service(PolicyServiceServer::new(publisher.clone()))
            .add_service(ClusterServiceServer::with_interceptor(
                publisher.clone(),
                traced,
            ))
            .add_service(AckServiceServer::new(publisher.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        publisher
    }

    /// The traces that calls of the registry named since this was asked last.
    pub(crate) fn traces(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().traces)
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    pub(crate) fn fail_edit_of(&self, name: &str, status: Status) {
        self.state
            .lock()
            .unwrap()
            .failures
            .insert(name.to_owned(), (status, false));
    }

    pub(crate) fn fail_edit_once(&self, name: &str, status: Status) {
        self.state
            .lock()
            .unwrap()
            .failures
            .insert(name.to_owned(), (status, true));
    }

    pub(crate) fn request_ids(&self, name: &str) -> BTreeSet<String> {
        self.state.lock().unwrap().request_ids[name].clone()
    }

    /// Applied, pending, refused, silent, of every policy.
    pub(crate) fn set_counts(&self, counts: (u32, u32, u32, u32)) {
        self.state.lock().unwrap().counts = counts;
    }

    /// What the next stream of a status says before it ends, if it asks for changes.
    pub(crate) fn next_changes(&self, told: Vec<v1::PolicyStatus>) {
        self.state.lock().unwrap().changes.push_back(told);
    }

    /// Streams that nobody asked for yet.
    pub(crate) fn changes_left(&self) -> usize {
        self.state.lock().unwrap().changes.len()
    }

    /// Done when somebody watches a status.
    pub(crate) fn when_watched(&self) -> BoxFuture<'static, ()> {
        let watched = self.watched.clone();
        async move { watched.notified().await }.boxed()
    }

    fn apply(
        &self,
        kind: &'static str,
        request: v1::ApplyRequest,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let manifest: Value = serde_json::from_str(&request.manifest).unwrap();
        let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
        let mut state = self.state.lock().unwrap();
        state.log.push(format!(
            "{} {kind}/{name}",
            if request.dry_run { "check" } else { "apply" }
        ));
        if name == "broken" {
            let mut details = ErrorDetails::new();
            details.add_bad_request_violation("spec.clusters", "is missing");
            details.add_bad_request_violation("spec.grants", "is empty");
            return Err(Status::with_error_details(
                Code::InvalidArgument,
                "2 violations",
                details,
            ));
        }
        let current = state
            .entries
            .get(&(kind, name.clone()))
            .map_or(0, |entry| entry.0);
        check_base(request.base_generation, current)?;
        let unchanged = state
            .entries
            .get(&(kind, name.clone()))
            .is_some_and(|entry| entry.1 == request.manifest);
        if !request.dry_run {
            state
                .request_ids
                .entry(name.clone())
                .or_default()
                .insert(request.request_id);
            state.fail(&name)?;
            if !unchanged {
                state.revision += 1;
                state
                    .entries
                    .insert((kind, name.clone()), (current + 1, request.manifest));
            }
        }
        let generation = if unchanged || request.dry_run {
            current
        } else {
            current + 1
        };
        Ok(Response::new(state.response(name, generation, unchanged)))
    }

    fn delete(
        &self,
        kind: &'static str,
        request: v1::DeleteRequest,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let mut state = self.state.lock().unwrap();
        let key = (kind, request.name.clone());
        let current = state
            .entries
            .get(&key)
            .map(|entry| entry.0)
            .ok_or(Status::not_found("no such policy"))?;
        check_base(request.base_generation, current)?;
        if !request.dry_run {
            state.fail(&request.name)?;
            state.entries.remove(&key);
            state.revision += 1;
        }
        Ok(Response::new(state.response(
            request.name,
            current + 1,
            false,
        )))
    }

    fn get(&self, kind: &'static str, request: &v1::GetRequest) -> Result<(u64, String), Status> {
        let state = self.state.lock().unwrap();
        let found = state.entries.get(&(kind, request.name.clone())).cloned();
        let (generation, manifest) = found.ok_or(Status::not_found("no such policy"))?;
        if generation < request.at_least_generation {
            return Err(Status::unavailable(format!(
                "not seen yet: {}@{}",
                request.name, request.at_least_generation
            )));
        }
        Ok((generation, manifest))
    }

    fn list(&self, kind: &'static str) -> Vec<(String, u64, String)> {
        let state = self.state.lock().unwrap();
        let entries = state
            .entries
            .iter()
            .filter(|((found, _), _)| *found == kind);
        entries
            .map(|((_, name), (generation, manifest))| {
                (name.clone(), *generation, manifest.clone())
            })
            .collect()
    }

    fn status(&self, request: &v1::StatusRequest) -> Result<v1::StatusResponse, Status> {
        let Some(Of::Policy(version)) = &request.of else {
            return Err(Status::unimplemented("policies only"));
        };
        let state = self.state.lock().unwrap();
        let key = ("clusterpolicy", version.name.clone());
        let generation = state
            .entries
            .get(&key)
            .map(|entry| entry.0)
            .ok_or(Status::not_found("no such policy"))?;
        let (applied, pending, refused, silent) = state.counts;
        let target = applied + pending + refused + silent;
        let counts = v1::Counts {
            target,
            applied,
            pending,
            refused,
            silent,
            ..Default::default()
        };
        let policy = v1::PolicyStatus {
            policy: version.name.clone(),
            generation,
            latest_generation: generation,
            counts: Some(counts),
            ..Default::default()
        };
        Ok(v1::StatusResponse {
            as_of: None,
            policies: vec![policy],
            cluster: None,
        })
    }
}

impl State {
    fn fail(&mut self, name: &str) -> Result<(), Status> {
        let Some((status, once)) = self.failures.get(name).cloned() else {
            return Ok(());
        };
        if once {
            self.failures.remove(name);
        }
        Err(status)
    }

    fn response(&self, name: String, generation: u64, unchanged: bool) -> v1::EditResponse {
        let revision = Some(v1::Revision {
            epoch: 1,
            number: self.revision,
        });
        v1::EditResponse {
            name,
            generation,
            revision,
            unchanged,
            ..Default::default()
        }
    }
}

fn check_base(base: Option<u64>, current: u64) -> Result<(), Status> {
    match base {
        Some(base) if base != current => Err(Status::aborted(format!(
            "the current generation is {current}"
        ))),
        _ => Ok(()),
    }
}

#[tonic::async_trait]
impl PolicyService for Publisher {
    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        Publisher::apply(self, "clusterpolicy", request.into_inner())
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        Publisher::delete(self, "clusterpolicy", request.into_inner())
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let request = request.into_inner();
        let (generation, manifest) = Publisher::get(self, "clusterpolicy", &request)?;
        let policy = v1::Policy {
            name: request.name,
            generation,
            manifest,
            ..Default::default()
        };
        Ok(Response::new(v1::GetPolicyResponse {
            policy: Some(policy),
            as_of: None,
        }))
    }

    async fn list(
        &self,
        _: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        let policies = Publisher::list(self, "clusterpolicy")
            .into_iter()
            .map(|(name, generation, manifest)| v1::Policy {
                name,
                generation,
                manifest,
                ..Default::default()
            })
            .collect();
        Ok(Response::new(v1::ListPoliciesResponse {
            policies,
            as_of: None,
            next_page_token: String::new(),
        }))
    }
}

#[tonic::async_trait]
impl ClusterService for Publisher {
    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        Publisher::apply(self, "cluster", request.into_inner())
    }

    async fn remove(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        Publisher::delete(self, "cluster", request.into_inner())
    }

    async fn add(
        &self,
        request: Request<v1::AddClusterRequest>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        let request = request.into_inner();
        let (enrol_credentials, expires_at) = match &request.token {
            Some(_) => ("enrol.jwt".to_owned(), Some(Default::default())),
            None => (String::new(), None),
        };
        let apply = v1::ApplyRequest {
            manifest: request.manifest,
            ..Default::default()
        };
        let edit = Publisher::apply(self, "cluster", apply)?.into_inner();
        Ok(Response::new(v1::EnrolResponse {
            edit: Some(edit),
            enrol_credentials,
            expires_at,
            request_credentials: "request.jwt".to_owned(),
            trust: b"trust".to_vec(),
            bus_url: "nats://bus.example.com:4222".to_owned(),
            region: "eu".to_owned(),
            stage: "prod".to_owned(),
        }))
    }

    async fn approve(
        &self,
        _: Request<v1::ApproveClusterRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn reenrol(
        &self,
        _: Request<v1::ReenrolClusterRequest>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn drain(
        &self,
        _: Request<v1::ChangeClusterRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn cut_off(
        &self,
        _: Request<v1::ChangeClusterRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetClusterResponse>, Status> {
        let request = request.into_inner();
        let (generation, manifest) = Publisher::get(self, "cluster", &request)?;
        let cluster = v1::Cluster {
            name: request.name,
            generation,
            manifest,
            ..Default::default()
        };
        Ok(Response::new(v1::GetClusterResponse {
            cluster: Some(cluster),
            as_of: None,
        }))
    }

    async fn list(
        &self,
        _: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListClustersResponse>, Status> {
        let clusters = Publisher::list(self, "cluster")
            .into_iter()
            .map(|(name, generation, manifest)| v1::Cluster {
                name,
                generation,
                manifest,
                ..Default::default()
            })
            .collect();
        Ok(Response::new(v1::ListClustersResponse {
            clusters,
            as_of: None,
            next_page_token: String::new(),
        }))
    }
}

#[tonic::async_trait]
impl AckService for Publisher {
    async fn get_status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        self.status(request.get_ref()).map(Response::new)
    }

    type WatchFleetStream = Pin<Box<dyn Stream<Item = Result<v1::FleetResponse, Status>> + Send>>;

    async fn watch_fleet(
        &self,
        _: Request<v1::FleetRequest>,
    ) -> Result<Response<Self::WatchFleetStream>, Status> {
        Err(Status::unimplemented("not asked for by the command line"))
    }

    type WatchHappeningsStream =
        Pin<Box<dyn Stream<Item = Result<v1::HappeningsResponse, Status>> + Send>>;

    async fn watch_happenings(
        &self,
        request: Request<v1::HappeningsRequest>,
    ) -> Result<Response<Self::WatchHappeningsStream>, Status> {
        let happening = |number| v1::Happening {
            number,
            at: Some(prost_types::Timestamp::default()),
            kind: v1::HappeningKind::Silent.into(),
            cluster: "eu-prod-1".into(),
            ..Default::default()
        };
        let happenings = (0..u64::from(request.get_ref().last)).map(happening);
        let told = v1::HappeningsResponse {
            happenings: happenings.collect(),
            ..Default::default()
        };
        Ok(Response::new(stream::iter([Ok(told)]).boxed()))
    }

    type WatchStatusStream = Pin<Box<dyn Stream<Item = Result<v1::StatusResponse, Status>> + Send>>;

    async fn watch_status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let request = request.get_ref();
        let scripted = || self.state.lock().unwrap().changes.pop_front();
        if let Some(told) = request.changes.then(scripted).flatten() {
            let answer = |policy| {
                Ok(v1::StatusResponse {
                    policies: vec![policy],
                    ..Default::default()
                })
            };
            return Ok(Response::new(
                stream::iter(told.into_iter().map(answer)).boxed(),
            ));
        }
        let now = self.status(request)?;
        self.watched.notify_one();
        Ok(Response::new(
            stream::iter([Ok(now)]).chain(stream::pending()).boxed(),
        ))
    }
}
