//! The subscriber from start to end: keys, cluster, memory, bus, loop.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;
use writ_bus::{
    accounts,
    connection::{self, FirstConnect, Login, Options},
    live,
};
use writ_core::{
    ack::Ack,
    envelope::Keyring,
    follower::Follower,
    model::ClusterIdentity,
    revision::Revision,
    subject::{BusSubject, Sender},
};
use writ_proto::{log::OpenError, trust::Trust};
use writ_telemetry::{
    Admin, Part, Readiness,
    log::{self, Who},
    trace,
};

use crate::{
    args::Args,
    ceiling_watch,
    clock::Clock,
    cluster, connect, cut, drift,
    engine::Engine,
    enrol::{self, Joining, KeyStore, Renewal},
    evidence::Evidence,
    fenced::Fenced,
    kube_api::KubeApi,
    lease, memory,
    metrics::Meters,
    outbox::{self, Outgoing},
    pilot::{Keeping, Pilot},
    receive::Reads,
    report::Reporter,
    state::{self, StateStore},
    traces::Traces,
    trust::{self, Trustee},
    verify::Gate,
    work::Works,
};

/// Shortest lease: renewals come every third of it, and two may fail.
const LEASE_MIN_S: u64 = 3;
/// For what is left to be written down at an orderly end. A pod is killed after 30 s.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Why a subscriber could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that it was told of can't be read.
    #[error("read {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// The keys can't be used, or there is nothing to enrol with.
    #[error("join the fleet")]
    Enrol(#[from] enrol::Error),
    /// The trust file is not signed by the offline key beside it.
    #[error("the trust file {0} is not believed")]
    Trust(PathBuf, #[source] OpenError),
    /// Metrics and probes.
    #[error("show metrics and probes")]
    Admin(#[source] writ_telemetry::Error),
    /// No client for the API server.
    #[error("prepare the connection to the API server")]
    Connect(#[source] connect::Error),
    /// The API server does not answer as needed.
    #[error("read the mirrors from the cluster")]
    Cluster(#[source] cluster::Error),
    /// The lease is not to be had, or was lost to another subscriber.
    #[error("be the one subscriber of this cluster")]
    Lease(#[source] lease::Error),
    /// The state in the cluster can't be used.
    #[error("use the state kept in the cluster")]
    State(#[source] state::Error),
    /// What keeps and sends acks ended by itself.
    #[error("acks are not kept and sent any more")]
    Outbox,
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

/// Begins to log and runs a subscriber as [`run`] does. Answers whether it ended in order; why it did not is
/// logged, with all causes.
pub async fn run_logged(args: Args) -> bool {
    let who = Who {
        component: "subscriber",
        instance: args.identity.clone(),
        cluster: Some(args.cluster.to_string()),
    };
    log::start(who.clone(), &args.log);
    let about = [
        ("k8s.cluster.name", args.cluster.as_str()),
        ("deployment.environment.name", args.stage.as_str()),
        ("writ.region", args.region.as_str()),
    ];
    trace::start(&who, &about, &args.trace);
    let ended = Box::pin(run(args)).await;
    if let Err(error) = &ended {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the subscriber ended"
        );
    }
    trace::finish().await;
    ended.is_ok()
}

/// Runs a subscriber until it is told to end.
///
/// # Errors
/// As [`run`].
pub async fn run_until(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let trust = std::fs::read(&args.trust_file)
        .map_err(|cause| Error::File(args.trust_file.clone(), cause))?;
    let trust =
        Trust::from_file(&trust).map_err(|cause| Error::Trust(args.trust_file.clone(), cause))?;
    if let Some(folder) = &args.keys_dir {
        enrol::check(folder)?;
    }
    let (meters, metrics) = Meters::declare();
    let readiness = Readiness::default();
    // One that stands by is ready: a rollout waits for it, and then ends the one that is active.
    let knows_lease = readiness.await_part("lease");
    let parts = readiness.clone();
    let admin = Admin::new(metrics, readiness);
    meters.show(&admin);
    let stopped = CancellationToken::new();
    let _stopping = stopped.clone().drop_guard();
    admin
        .start(&args.admin, stopped)
        .await
        .map_err(Error::Admin)?;
    let kube = connect::client(&access(&args))
        .await
        .map_err(Error::Connect)?;
    let api = KubeApi::new(kube.clone());
    let options = lease::Options {
        identity: args.identity.clone(),
        duration: Duration::from_secs(args.lease_s.max(LEASE_MIN_S)),
    };
    let acquired = lease::acquire(api.clone(), options, &shutdown, |is_known| {
        knows_lease.set(is_known);
    });
    let lease = match acquired.await {
        Ok(lease) => lease,
        Err(lease::Error::Ended) => return Ok(()),
        Err(error) => return Err(Error::Lease(error)),
    };
    // Whoever is active has work to do.
    let follows = parts.await_part("log");
    let start = Start {
        args,
        trust,
        kube,
        api: Fenced::new(api, lease.fence()),
        meters,
        follows,
    };
    let ended = CancellationToken::new();
    let mut keeping = tokio::spawn(lease.keep(ended.clone()));
    let result = loop {
        let followed = tokio::select! {
            followed = Box::pin(start.clone().follow(shutdown.clone())) => followed,
            lost = &mut keeping => return lost.unwrap_or(Ok(())).map_err(Error::Lease),
        };
        match followed {
            // Everything begins anew, but for what the cluster itself keeps.
            Err(Error::Enrol(enrol::Error::Rekeyed)) => {}
            ended => break ended,
        }
    };
    // Given back only now: until here this subscriber may have been writing.
    ended.cancel();
    let _ = keeping.await;
    result
}

/// What an active subscriber starts with.
#[derive(Clone)]
struct Start {
    args: Args,
    trust: Trust,
    kube: kube::Client,
    api: Fenced<KubeApi>,
    meters: Meters,
    follows: Part,
}

impl Start {
    async fn follow(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Start {
            args,
            trust,
            kube,
            api,
            meters,
            follows,
        } = self;
        let sender = Sender {
            region: args.region.clone(),
            stage: args.stage.clone(),
            cluster: args.cluster.clone(),
        };
        let (mut store, mut kept) = StateStore::load(api.clone()).await.map_err(Error::State)?;
        kept.boot += 1;
        let trust = trust::newest(trust, kept.trust.as_deref());
        kept.trust = Some(trust.signed.clone());
        store.save(&kept).await.map_err(Error::State)?;

        let mut gate = Gate::new(trust.bundle.keyring());
        gate.trust(trust.bundle.keyring(), trust::revoked(&trust));
        let believed = gate.believed();
        let key_api = api.clone();
        let key_store = || match &args.keys_dir {
            Some(folder) => KeyStore::Folder(folder.clone()),
            None => KeyStore::Secret(key_api.clone()),
        };
        let joining = || Joining {
            cluster: args.cluster.clone(),
            url: args.nats_url.clone(),
            trusted: believed.clone(),
            folder: args.enrolment_dir.clone(),
            anyway: false,
        };
        let mut keys = key_store().load().await?;
        let (say, mut said) = mpsc::unbounded_channel();
        let joined = {
            let (joining, key_store) = (joining(), key_store());
            let joined = enrol::join(&joining, &key_store, &mut keys, &shutdown, &say);
            tokio::pin!(joined);
            loop {
                tokio::select! {
                    joined = &mut joined => break joined,
                    Some(how) = said.recv() => {
                        kept.enrolment = Some(how);
                        // For people; the next write of the state brings it again.
                        if let Err(error) = store.save(&kept).await {
                            tracing::debug!("how enrolment stands is not kept yet: {error}");
                        }
                    }
                }
            }
        };
        if let Ok(how) = said.try_recv() {
            kept.enrolment = Some(how);
        }
        match joined {
            Ok(()) => {}
            Err(enrol::Error::Ended) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let user = enrol::user(&keys).ok_or(enrol::Error::NothingToAskWith)?;
        let (latest, shown) = watch::channel(Arc::new(user));

        let offline = trust.offline_keyring();
        let mut evidence = Evidence::default();
        let mut follower = Follower::new(ClusterIdentity {
            name: args.cluster.clone(),
            region: args.region.clone(),
            stage: args.stage.clone(),
            labels: Default::default(),
        });
        kept.remind(&mut follower);
        let engine = Engine::new(api.clone());
        let mut remembered = memory::recall(
            &mut gate,
            &mut follower,
            &engine,
            api.clone(),
            &args.cluster,
        )
        .await
        .map_err(Error::Cluster)?;
        // After the mirrors, which an observer has no newer ones of.
        if let Some(signed) = &kept.own {
            memory::recall_own(&mut gate, &mut follower, &args.cluster, signed);
        }
        let cut = cut::load(&api).await.map_err(Error::Cluster)?;
        let kept_cut = match cut {
            Some(cut) => memory::recall_cut(&mut gate, &mut follower, &mut evidence, &offline, cut),
            None => Revision::ZERO,
        };
        remembered.registry.show_at_most(args.cluster_mirrors_max);
        let mirroring = remembered.registry.permission();
        let registry = Arc::new(Mutex::new(remembered.registry));

        let cut = Keeping {
            api: api.clone(),
            kept: kept_cut,
        };
        let run = shutdown.child_token();
        let verdicts = ceiling_watch::start(api, kube.clone(), run.child_token()).await;
        let (drift_in, drift_out) = mpsc::channel(drift::EVENTS_WAITING_MAX);
        tokio::spawn(drift::watch(kube.clone(), drift_in, run.child_token()));
        let client = connection::connect(Options {
            url: args.nats_url.clone(),
            login: Login::Latest(shown),
            inbox: accounts::cluster_inbox(&args.region, &args.cluster),
            name: args.cluster.to_string(),
            first_connect: FirstConnect::Whenever,
        })
        .await
        .map_err(Error::Bus)?;
        let renewal = Renewal {
            client: client.clone(),
            sender: sender.clone(),
            joining: joining(),
            store: key_store(),
            keys: keys.clone(),
            latest,
        };
        let renewing = run.clone();
        let renewal = tokio::spawn(async move {
            let ended = renewal.run(renewing.clone()).await;
            renewing.cancel();
            ended
        });
        let live = live::listen_as_cluster(&client, &args.region, &args.stage)
            .await
            .map_err(Error::Bus)?;

        // An ack that other keys signed is nobody's word any more.
        let own = Keyring::new([keys.ack.public()]);
        let subject = BusSubject::Ack(sender.clone());
        kept.ack = kept
            .ack
            .filter(|bytes| writ_proto::log::open::<Ack>(&subject, bytes, &own).is_ok());
        let boot_id = uuid();
        let mut reporter = Reporter::new(
            sender.clone(),
            keys.ack_key(),
            boot_id,
            kept.boot,
            kept.ack.as_deref(),
        );
        let clock = Clock::start();
        for tampered in &remembered.tampered {
            reporter.tell(tampered.told(&tampered.standing(), clock.now_ms()));
        }
        let (acks_in, acks_out) = mpsc::channel(outbox::ACKS_WAITING_MAX);
        if let Some(bytes) = &kept.ack {
            // The last ack may not have got through; storing it twice is harmless.
            let hash = writ_core::hash::Hash::of(bytes);
            let ack = writ_proto::log::Sealed {
                bytes: bytes.clone(),
                hash,
            };
            let state = kept.clone();
            let _ = acks_in.try_send(Outgoing {
                state,
                ack: Some(ack),
                spans: Vec::new(),
            });
        }
        let (kept_in, kept_now) = watch::channel(outbox::KeptNow::of(kept.clone()));
        let outbox = outbox::run(store, client.clone(), sender.clone(), acks_out, kept_in);
        let outbox = tokio::spawn(outbox);
        let kubernetes_version = kube
            .apiserver_version()
            .await
            .map_or_else(|_| String::new(), |info| info.git_version);
        tracing::info!(cluster = %args.cluster, boot = kept.boot, "following the log");
        follows.set(true);
        let ended = Pilot {
            clock,
            sender,
            reads: Reads::new(client.clone()),
            trustee: Trustee::new(client.clone(), trust),
            is_trust_unkept: false,
            client,
            live,
            gate,
            evidence,
            reads_to_catch_up: Some(0),
            cut,
            follower,
            works: Works::new(engine.clone(), registry.clone()),
            engine: engine.clone(),
            registry,
            mirroring,
            drift: drift_out,
            reporter,
            kept,
            acks: acks_in,
            kept_now,
            outbox,
            pulse_period: Duration::from_secs(args.pulse_period_s.max(1)),
            kubernetes_version,
            verdicts,
            permitted: None,
            meters,
            traces: Traces::default(),
        }
        .run(run.clone())
        .await;
        run.cancel();
        let _ = tokio::time::timeout(CLOSE_LIMIT, engine.close_all()).await;
        match renewal.await {
            Ok(Err(error)) => Err(error.into()),
            _ => ended,
        }
    }
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
