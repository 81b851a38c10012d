//! The subscriber from start to end: keys, cluster, memory, bus, loop.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use writ_bus::{
    accounts,
    connection::{self, FirstConnect, Options},
    live,
};
use writ_core::{
    envelope::{self, SigningKey},
    event::Event,
    follower::{Follower, Past},
    model::ClusterIdentity,
    name::Name,
    scope::Kind,
    subject::{BusSubject, Sender},
};
use writ_proto::{log::OpenError, trust::TrustBundle};

use crate::{
    args::Args,
    clock::Clock,
    cluster::{self, ClusterApi},
    connect, drift,
    engine::{Engine, LoadedPolicy},
    kube_api::KubeApi,
    mirror::ClusterMirror,
    pilot::{self, Pilot},
    receive::Reads,
    registry::Registry,
    report::Reporter,
    slot::Content,
    state::{self, StateStore},
    verify::Gate,
    work::{Works, past_of},
};

/// Why a subscriber could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that it was told of can't be read.
    #[error("read {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// The ack key is none.
    #[error("the ack key in {0} can't be used")]
    AckKey(PathBuf, #[source] envelope::Error),
    /// The trust file is not signed by the offline key beside it.
    #[error("the trust file {0} is not believed")]
    Trust(PathBuf, #[source] OpenError),
    /// No client for the API server.
    #[error("prepare the connection to the API server")]
    Connect(#[source] connect::Error),
    /// The API server does not answer as needed.
    #[error("read the mirrors from the cluster")]
    Cluster(#[source] cluster::Error),
    /// The state in the cluster can't be used.
    #[error("use the state kept in the cluster")]
    State(#[source] state::Error),
    /// No connection to the bus could be prepared.
    #[error("connect to the bus")]
    Bus(#[source] connection::Error),
    /// The connection to the bus was closed for good.
    #[error("the connection to the bus was closed")]
    BusClosed,
}

/// Runs a subscriber until SIGTERM or Ctrl-C.
///
/// # Errors
/// [`Error`]: it could not start, or another subscriber took over its cluster.
pub async fn run(args: Args) -> Result<(), Error> {
    let shutdown = CancellationToken::new();
    tokio::spawn(end_on_signal(shutdown.clone()));
    run_until(args, shutdown).await
}

/// Runs a subscriber until it is told to end.
///
/// # Errors
/// As [`run`].
pub async fn run_until(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let bus_seed = read_text(args.keys_dir.join("bus.seed"))?;
    let ack_path = args.keys_dir.join("ack.seed");
    let ack_key = SigningKey::from_base64(&read_text(ack_path.clone())?)
        .map_err(|cause| Error::AckKey(ack_path, cause))?;
    let trust = std::fs::read(&args.trust_file)
        .map_err(|cause| Error::File(args.trust_file.clone(), cause))?;
    let trust = TrustBundle::from_file(&trust)
        .map_err(|cause| Error::Trust(args.trust_file.clone(), cause))?;
    let sender = Sender {
        region: args.region.clone(),
        stage: args.stage.clone(),
        cluster: args.cluster.clone(),
    };

    let kube = connect::client(&access(&args))
        .await
        .map_err(Error::Connect)?;
    let api = KubeApi::new(kube.clone());
    let (mut store, mut kept) = StateStore::load(api.clone()).await.map_err(Error::State)?;
    kept.boot += 1;
    store.save(&kept).await.map_err(Error::State)?;

    let mut gate = Gate::new(trust.keyring());
    let mut follower = Follower::new(ClusterIdentity {
        name: args.cluster.clone(),
        region: args.region.clone(),
        stage: args.stage.clone(),
        labels: Default::default(),
    });
    for (feed, revision) in &kept.seen {
        follower.restore_seen(feed, *revision);
    }
    let engine = Engine::new(api.clone());
    let registry = remember(&mut gate, &mut follower, &engine, api, &args).await?;
    let registry = Arc::new(Mutex::new(registry));

    let (drift_in, drift_out) = mpsc::channel(drift::EVENTS_WAITING_MAX);
    tokio::spawn(drift::watch(kube.clone(), drift_in, shutdown.child_token()));
    let client = connection::connect(Options {
        url: args.nats_url.clone(),
        seed: bus_seed,
        inbox: accounts::cluster_inbox(&args.region, &args.cluster),
        name: args.cluster.to_string(),
        first_connect: FirstConnect::Whenever,
    })
    .await
    .map_err(Error::Bus)?;
    let live = live::listen_as_cluster(&client, &args.region, &args.stage)
        .await
        .map_err(Error::Bus)?;

    let boot_id = uuid();
    let reporter = Reporter::new(
        sender.clone(),
        ack_key,
        boot_id,
        kept.boot,
        kept.ack.as_deref(),
    );
    let (acks_in, acks_out) = mpsc::channel(pilot::ACKS_WAITING_MAX);
    if let Some(bytes) = &kept.ack {
        // The last ack may not have got through; storing it twice is harmless.
        let hash = writ_core::hash::Hash::of(bytes);
        let _ = acks_in.try_send(writ_proto::log::Sealed {
            bytes: bytes.clone(),
            hash,
        });
    }
    tokio::spawn(pilot::send_acks(client.clone(), sender.clone(), acks_out));
    let kubernetes_version = kube
        .apiserver_version()
        .await
        .map_or_else(|_| String::new(), |info| info.git_version);
    tracing::info!(cluster = %args.cluster, boot = kept.boot, "following the log");
    Pilot {
        clock: Clock::start(),
        sender,
        reads: Reads::new(client.clone()),
        client,
        live,
        gate,
        follower,
        works: Works::new(engine.clone(), registry.clone()),
        engine,
        registry,
        drift: drift_out,
        reporter,
        store,
        kept,
        acks: acks_in,
        pulse_period: std::time::Duration::from_secs(args.pulse_period_s.max(1)),
        kubernetes_version,
    }
    .run(shutdown)
    .await
}

/// Takes back what the cluster kept: only what verifies again counts as content, so that a forged
/// mirror is never acted upon, and drift is repaired even while the bus is away.
async fn remember<C: ClusterApi + Clone>(
    gate: &mut Gate,
    follower: &mut Follower,
    engine: &Engine<C>,
    api: C,
    args: &Args,
) -> Result<Registry<C>, Error> {
    let (registry, (clusters, unreadable)) = Registry::load(api, args.cluster.clone())
        .await
        .map_err(Error::Cluster)?;
    for (name, cause) in unreadable {
        let error = &cause as &dyn std::error::Error;
        tracing::warn!(
            name,
            error,
            "registry mirror can't be read; it is written anew from the log"
        );
    }
    for ClusterMirror { name, signed, .. } in clusters {
        let key = (Kind::Cluster, Name::from(&name));
        let Some((event, bytes)) = open_kept(gate, &signed, &key) else {
            continue;
        };
        let past = Past {
            as_of: event.revision,
            word: event.revision,
            generation: event.generation,
            feed: event.feed.clone(),
            hash: event.hash(),
            removed: false,
            done: true,
        };
        follower.restore(key, past, Some((&event, &bytes)));
    }
    let loaded = engine.load().await.map_err(Error::Cluster)?;
    for (name, cause) in &loaded.unreadable {
        let error = cause as &dyn std::error::Error;
        tracing::error!(
            name,
            error,
            "policy mirror can't be read: its objects are left alone until it is mended or deleted"
        );
    }
    for LoadedPolicy {
        policy,
        record,
        signed,
    } in loaded.policies
    {
        let key = (Kind::Policy, Name::from(&policy));
        let past = past_of(&record);
        let opened = open_kept(gate, &signed, &key)
            .filter(|(event, _)| !record.removed && event.hash() == Some(record.hash));
        if let Some((event, _)) = &opened
            && let Some(content) = content_of(event)
            && let Err(error) = engine.restore(&policy, record.hash, content).await
        {
            tracing::warn!(%policy, "{error}");
        }
        follower.restore(
            key,
            past,
            opened.as_ref().map(|(event, bytes)| (event, bytes)),
        );
    }
    Ok(registry)
}

/// Verifies signed bytes that a mirror kept, under the subject that they themselves name.
fn open_kept(gate: &mut Gate, signed: &[u8], key: &(Kind, Name)) -> Option<(Event, Arc<[u8]>)> {
    let feed = writ_proto::log::claimed_subject(signed)?;
    let subject = BusSubject::parse(&feed).ok()?;
    let (event, bytes) = gate.open::<Event>(&subject, signed)?;
    let fits = (event.value.feed.kind, &event.value.name) == (key.0, &key.1);
    fits.then_some((event.value, bytes))
}

fn content_of(event: &Event) -> Option<Content> {
    let body = writ_core::event::Body::decode(event, event.body.as_deref()?).ok()?;
    Content::decode(body.object.to_string().as_bytes()).ok()
}

fn access(args: &Args) -> connect::Access {
    match (
        &args.kubeconfig,
        &args.api_server,
        &args.ca_file,
        &args.token_file,
    ) {
        (None, Some(server), Some(ca_file), Some(token_file)) => connect::Access::Token {
            server: server.clone(),
            ca_file: ca_file.clone(),
            token_file: token_file.clone(),
        },
        (kubeconfig, ..) => connect::Access::Kubeconfig(kubeconfig.clone().unwrap_or_default()),
    }
}

fn read_text(path: PathBuf) -> Result<String, Error> {
    let text = std::fs::read_to_string(&path).map_err(|cause| Error::File(path, cause))?;
    Ok(text.trim().to_owned())
}

fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

async fn end_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    shutdown.cancel();
}
