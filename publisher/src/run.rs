//! The publisher from start to end: config, connect, follow until caught up, serve, beat.

use std::{future::Future, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use writ_bus::{
    Client,
    connection::{self, FirstConnect, Login, Options},
    identity::{RegistrarKeys, folder},
    secret,
};
use writ_core::{
    envelope::{self, SigningKey},
    recover::Recall,
};
use writ_proto::{
    log::{self, OpenError},
    trust::Trust,
};
use writ_telemetry::{
    Admin, Readiness, describe,
    log::{self as process_log, Who},
    trace,
};

use crate::{
    Args, admin,
    alarm::Alarms,
    api::{self, Api},
    audit::{self, Audit},
    beat::Heart,
    behind::Behind,
    bundle::Bundles,
    commit::Committer,
    current::Leader,
    enrol::{self, Asked, Desk, Minter, Responder},
    follow::{self, Follower},
    gate::{self, Gate},
    hear::{self, Ear},
    metrics::Meters,
    past::Past,
    registrar,
    traces::Traces,
    track::{self, Tracking},
    trust::{Signer, Trusted},
    view::{View, Views},
    window,
};

/// How long the answers to the first recall are waited for: clusters spread theirs over a quarter of a
/// second.
const RECALL_TIME: Duration = Duration::from_millis(500);

/// How long open requests may go on after the end was asked for; an edit is over within milliseconds.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);

/// Why the publisher ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that it was started with.
    #[error("can't read {}", .path.display())]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key file.
    #[error(transparent)]
    Secret(#[from] secret::Error),
    /// The file of the address.
    #[error("can't write {}", .path.display())]
    WriteFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The signing key.
    #[error("{} holds no signing key (32 bytes in base64)", .path.display())]
    SigningKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: envelope::Error,
    },
    /// The trust bundle.
    #[error("{} holds no trust bundle that its offline key signed", .path.display())]
    Trust {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The keys that let clusters in.
    #[error("can't use the keys that let clusters in")]
    EnrolmentKeys(#[source] folder::Error),
    /// Nobody would believe this publisher.
    #[error("the trust bundle does not list this publisher's key: sign a bundle with it first")]
    NotTrusted,
    /// Who may call, and how.
    #[error(transparent)]
    Gate(#[from] gate::Error),
    /// Metrics and probes.
    #[error(transparent)]
    Admin(#[from] writ_telemetry::Error),
    /// The dashboard.
    #[error(transparent)]
    Dashboard(#[from] window::Error),
    /// The record of calls.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// The address is taken, or not this machine's.
    #[error("can't listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The bus.
    #[error("can't reach the bus")]
    Connect(#[source] connection::Error),
    /// The registrar.
    #[error(transparent)]
    Registrar(#[from] registrar::Error),
    /// The log or the acks.
    #[error(transparent)]
    Follow(#[from] follow::Error),
    /// The API's descriptors.
    #[error("can't serve reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The API.
    #[error("can't serve the API")]
    Serve(#[source] tonic::transport::Error),
    /// The signals of the operating system.
    #[error("can't listen for signals")]
    Signal(#[source] io::Error),
    /// One of its tasks ended by a panic.
    #[error("a task of the publisher ended by a panic")]
    Task(#[source] tokio::task::JoinError),
}

/// Runs a publisher until SIGTERM or Ctrl-C.
///
/// # Errors
/// [`Error`]: it could not start, or going on would have been wrong.
pub async fn run(args: Args) -> Result<(), Error> {
    let ended = end_signal()?;
    run_until(args, ended).await
}

/// Begins to log and runs a publisher as [`run`] does. Answers whether it ended in order; why it did not is
/// logged, with all causes.
pub async fn run_logged(args: Args) -> bool {
    let who = Who {
        component: "publisher",
        instance: args.name.to_string(),
        cluster: None,
    };
    process_log::start(who.clone(), &args.log);
    trace::start(&who, &[], &args.trace);
    let ended = Box::pin(run(args)).await;
    if let Err(error) = &ended {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the publisher ended"
        );
    }
    trace::finish().await;
    ended.is_ok()
}

/// Runs a publisher until `ended` resolves.
pub(crate) async fn run_until(
    args: Args,
    ended: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let config = Config::read(args)?;
    let (audit, records, rest) = Audit::new();
    let (meters, metrics) = Meters::declare();
    let readiness = Readiness::default();
    let (log_part, api_part) = (readiness.await_part("log"), readiness.await_part("api"));
    let shown = Admin::new(metrics, readiness);
    let stop = CancellationToken::new();
    let (listen, served) = (config.args.listen, meters.clone());
    let gate = Gate::new(&config.args.gate, listen, audit, served)?;
    // Before the bus is reached, so that whoever asks learns what is waited for.
    let admin_args = &config.args.admin;
    shown.clone().start(admin_args, stop.clone()).await?;
    // However this ends.
    let _stopping = stop.clone().drop_guard();
    let listener = config.listen().await?;
    let client = config.connect().await?;

    let alarms = Alarms::new(meters.clone());
    let traces = Traces::default();
    let tracking = Tracking::new(Duration::from_secs(config.args.pulse_period_s));
    let (view_sender, view_receiver) = watch::channel(Arc::new(View::default()));
    let trusted = Trusted::new(config.trust.clone());
    // First, so that what a key signed which only the newest bundle names is believed.
    trusted.read(&client).await.map_err(Error::Connect)?;
    let signing_key_file = config.args.signing_key_file.clone();
    let signer = Signer::new(config.key.clone(), signing_key_file, trusted.clone());
    if signer.broken().borrow().is_some() {
        return Err(Error::NotTrusted);
    }
    let writer = audit::Writer::new(
        client.clone(),
        config.args.name.clone(),
        signer.clone(),
        records,
        rest,
    );
    let writing = AbortOnDropHandle::new(tokio::spawn(writer.await?.run()));
    let behind = Behind::new(client.clone(), trusted.clone());
    let views = Views::new(view_receiver, behind.broken(), signer.broken());
    let (beat_sender, heard) = watch::channel(None);
    let mut tasks = JoinSet::new();

    let live = hear::listen(&client).await.map_err(Error::Connect)?;
    let follower = Follower::new(
        client.clone(),
        trusted.clone(),
        behind.clone(),
        view_sender,
        tracking.clone(),
        alarms.clone(),
        meters.clone(),
    );
    start(&mut tasks, |caught_up| follower.run(caught_up)).await?;
    let ear = Ear {
        client: client.clone(),
        trusted: trusted.clone(),
        tracking: tracking.clone(),
        alarms: alarms.clone(),
        meters: meters.clone(),
        behind,
        traces: traces.clone(),
        own_name: config.args.name.clone(),
    };
    // After the log: an ack is checked under the key of its cluster's registry entry.
    let acks = ear.clone();
    start(&mut tasks, |caught_up| acks.hear_acks(caught_up)).await?;
    tasks.spawn(ear.hear_pulses(live, beat_sender));
    tracking.journal.open();
    let looking = tracking.journal.clone().look(tracking.clone());
    tasks.spawn(async move {
        looking.await;
        Ok(())
    });
    tracing::info!(revision = %views.now().revision(), "the log is followed");
    log_part.set(true);
    tasks.spawn(admin::watch_copies(client.clone(), meters.clone()));
    recall(&client, &signer, &views).await;

    let heart = Heart {
        client: client.clone(),
        signer: signer.clone(),
        views: views.clone(),
        name: config.args.name.clone(),
        period: Duration::from_secs(config.args.beat_period_s),
        expiry: Duration::from_secs(config.args.beat_expiry_s),
        heard,
    };
    tasks.spawn(async move {
        heart.run().await;
        Ok(())
    });

    if let Some(folder) = &config.args.registrar_key_dir {
        let args = &config.args;
        let registrar = registrar::connect(&args.nats_url, &args.name, folder).await?;
        let leader = Leader {
            client: client.clone(),
            views: views.clone(),
        };
        tasks.spawn(async move {
            registrar::run(registrar, leader).await;
            Ok(())
        });
    }

    let past = Past::new(client.clone(), trusted.clone(), alarms.clone());
    let administrators = Arc::new(config.args.administrators());
    let (committer, rounds) = Committer::new(
        client.clone(),
        signer.clone(),
        trusted.clone(),
        views.clone(),
        (alarms, meters.clone(), traces),
        administrators.clone(),
    );
    tasks.spawn(async move {
        rounds.run().await;
        Ok(())
    });
    let desk = config.desk(trusted.clone())?;
    tasks.spawn(enrol::leave(
        committer.clone(),
        tracking.clone(),
        views.clone(),
    ));
    if let Some(minter) = desk.minter.clone() {
        let asked = writ_bus::enrol::listen(&client).await;
        let responder = Responder {
            client: client.clone(),
            signer: signer.clone(),
            views: views.clone(),
            committer: committer.clone(),
            desk: desk.clone(),
            minter,
        };
        tasks.spawn(responder.run(asked.map_err(Error::Connect)?));
    }
    let looking = signer.clone();
    tasks.spawn(async move {
        looking.keep().await;
        Ok(())
    });
    let bundles = Bundles {
        client: client.clone(),
        trusted,
        signer,
        views: views.clone(),
    };
    gate.check.look_up(views.clone());
    let name = config.args.name.to_string();
    let api = Api::new(api::Parts {
        publisher: name,
        committer,
        administrators,
        views,
        tracking,
        past,
        bundles,
        desk,
        stop: stop.clone(),
    });
    api.show(&shown, meters);
    let window = (&config.args.dashboard, &config.args.gate);
    window::serve(window, (&api, &gate.check), stop.clone()).await?;
    api_part.set(true);
    config.announce(&listener)?;
    let served = serve(api, (gate, listener), tasks, stop, ended).await;
    // All who could record something are gone.
    if tokio::time::timeout(SHUTDOWN_TIME_MAX, writing)
        .await
        .is_err()
    {
        tracing::error!("the last calls are not in the audit");
    }
    client.flush().await;
    served?;
    Ok(())
}

/// Asks the clusters who holds more than the log, and listens for a moment before any edit is taken: a
/// log that was put back from a backup looks like any other to a publisher that has just started.
async fn recall(client: &Client, signer: &Signer, views: &Views) {
    let recall = Recall {
        above: views.now().revision(),
        clusters: Vec::new(),
        feeds: Vec::new(),
        issued_ms: track::wall_ms(),
    };
    let bytes = log::seal(&recall, &*signer.hold().await).bytes.into();
    if let Err(error) = writ_bus::live::publish_recall(client, bytes).await {
        tracing::warn!(
            "nobody is asked for more than the log has: {}",
            describe(&error)
        );
    }
    tokio::time::sleep(RECALL_TIME).await;
}

/// Starts a follower and waits until it has everything that was stored.
async fn start<F>(
    tasks: &mut JoinSet<Result<(), follow::Error>>,
    make: impl FnOnce(watch::Sender<bool>) -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), follow::Error>> + Send + 'static,
{
    let (sender, mut caught_up) = watch::channel(false);
    tasks.spawn(make(sender));
    tokio::select! {
        waited = caught_up.wait_for(|is_caught_up| *is_caught_up) => match waited {
            Ok(_) => Ok(()),
            Err(_) => Err(join(tasks).await),
        },
        error = join(tasks) => Err(error),
    }
}

/// Serves until the end is asked for, or a task ends, which none does while all is well.
async fn serve(
    api: Api,
    (gate, listener): (Gate, TcpListener),
    mut tasks: JoinSet<Result<(), follow::Error>>,
    stop: CancellationToken,
    ended: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let check = gate.check.clone();
    let router = api::router(api, check).await.map_err(Error::Reflection)?;
    let stopped = stop.clone();
    let incoming = gate.accept(listener);
    let server =
        router.serve_with_incoming_shutdown(incoming, async move { stopped.cancelled().await });
    tokio::pin!(server);
    let failed = tokio::select! {
        served = &mut server => return served.map_err(Error::Serve),
        error = join(&mut tasks) => Some(error),
        () = ended => None,
    };
    stop.cancel();
    match tokio::time::timeout(SHUTDOWN_TIME_MAX, server).await {
        Ok(served) => served.map_err(Error::Serve)?,
        Err(_) => tracing::warn!("requests were cut off at the end"),
    }
    failed.map_or(Ok(()), Err)
}

/// The error of the first task that ends.
async fn join(tasks: &mut JoinSet<Result<(), follow::Error>>) -> Error {
    match tasks.join_next().await {
        Some(Ok(Err(error))) => Error::Follow(error),
        Some(Err(error)) => Error::Task(error),
        Some(Ok(Ok(()))) | None => Error::Follow(follow::Error::Ended),
    }
}

/// What the files say.
struct Config {
    args: Args,
    key: SigningKey,
    trust: Trust,
}

impl Config {
    fn read(args: Args) -> Result<Config, Error> {
        let path = args.signing_key_file.clone();
        let key = SigningKey::from_base64(&secret::read(&path)?)
            .map_err(|source| Error::SigningKey { path, source })?;
        let path = args.trust_file.clone();
        let bytes = std::fs::read(&path).map_err(|source| Error::ReadFile {
            path: path.clone(),
            source,
        })?;
        let trust = Trust::from_file(&bytes).map_err(|source| Error::Trust { path, source })?;
        Ok(Config { key, trust, args })
    }

    fn desk(&self, trusted: Trusted) -> Result<Desk, Error> {
        let args = &self.args;
        let life = Duration::from_secs(args.credentials_life_s);
        let folder = args
            .enrolment_key_dir
            .as_ref()
            .or(args.registrar_key_dir.as_ref());
        let minter = folder.map(|folder| {
            let keys = RegistrarKeys::load(folder)?;
            Ok::<_, folder::Error>(Arc::new(Minter::new(keys, life)))
        });
        let bus_url = args.cluster_nats_url.as_ref().unwrap_or(&args.nats_url);
        Ok(Desk {
            minter: minter.transpose().map_err(Error::EnrolmentKeys)?,
            asked: Asked::default(),
            token_life_ms: args.token_life_s * 1_000,
            trusted,
            bus_url: bus_url.clone(),
        })
    }

    async fn listen(&self) -> Result<TcpListener, Error> {
        let address = self.args.listen;
        TcpListener::bind(address)
            .await
            .map_err(|source| Error::Listen { address, source })
    }

    async fn connect(&self) -> Result<Client, Error> {
        let options = Options {
            url: self.args.nats_url.clone(),
            login: Login::File(self.args.nats_credentials_file.clone()),
            inbox: writ_bus::accounts::publisher_inbox(&self.args.name),
            name: format!("writ-publisher {}", self.args.name),
            first_connect: FirstConnect::Now,
        };
        writ_bus::connect(options).await.map_err(Error::Connect)
    }

    /// Says where the API is.
    fn announce(&self, listener: &TcpListener) -> Result<(), Error> {
        let address = self.args.listen;
        let bound = listener
            .local_addr()
            .map_err(|source| Error::Listen { address, source })?;
        tracing::info!(address = %bound, publisher = %self.args.name, "the API is served");
        let Some(path) = &self.args.address_file else {
            return Ok(());
        };
        writ_telemetry::announce(path, bound).map_err(|source| Error::WriteFile {
            path: path.clone(),
            source,
        })
    }
}

/// Resolves at SIGTERM or Ctrl-C. Installed at once, so that none is missed while starting.
fn end_signal() -> Result<impl Future<Output = ()> + Send, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
