//! AckService: status, and the stream that follows it.

use std::{pin::Pin, time::Duration};

use futures::Stream;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use writ_core::{
    access::Identity,
    edit::Kind,
    name::{ClusterName, Name, PolicyName, Region, Stage},
    revision::Generation,
    scope::Scope,
    tracker::{Now, Tracker},
};
use writ_proto::{
    status::Sent,
    v1::{self, ack_service_server::AckService, status_request::Of},
};

use super::{
    Api,
    access_service::{see_place, see_policy, unseen},
    convert, error,
    watch::{REPEAT_PERIOD, WAITING_MAX},
};
use crate::{audit::note_name, caller::caller};

/// Changes within this time come as one status: a fleet's answers to an edit come within milliseconds
/// of each other.
const CHANGES_JOINED: Duration = Duration::from_millis(50);

/// How many times as long as an answer took to make no other is made for the same stream.
const IDLE_SHARE: u32 = 3;

/// What is asked for, checked.
#[derive(Debug, Clone)]
enum Question {
    Policy {
        name: PolicyName,
        generation: Option<Generation>,
    },
    Cluster(ClusterName),
    AllPolicies,
}

impl Question {
    fn read(of: Option<Of>) -> Result<Question, Status> {
        let bad = |field, problem: writ_core::name::Error| error::field(field, problem.to_string());
        Ok(match of {
            None | Some(Of::AllPolicies(_)) => Question::AllPolicies,
            Some(Of::Cluster(name)) => {
                let name = ClusterName::parse(&name).map_err(|problem| bad("cluster", problem))?;
                Question::Cluster(name)
            }
            Some(Of::Policy(version)) => Question::Policy {
                name: PolicyName::parse(&version.name)
                    .map_err(|problem| bad("policy.name", problem))?,
                generation: (version.generation > 0).then_some(Generation(version.generation)),
            },
        })
    }
}

/// What a stream is asked for, and by whom.
struct Asked {
    question: Question,
    caller: Identity,
    /// What it was told, where only what changed is to be told.
    sent: Option<Sent>,
    /// Why no edits are taken, as it was sent.
    edits_refused: String,
}

impl Asked {
    /// Leaves in an answer what this stream is to be told. Answers whether that is any news.
    fn narrow(&mut self, answer: &mut Result<v1::StatusResponse, Status>) -> bool {
        let (Some(sent), Ok(answer)) = (&mut self.sent, answer) else {
            return true;
        };
        let refused = answer.as_of.as_ref().map(|as_of| &as_of.edits_refused);
        let refused = refused.cloned().unwrap_or_default();
        let is_other = refused != self.edits_refused;
        self.edits_refused = refused;
        match &mut answer.policies[..] {
            [status] => sent.narrow(status) || is_other,
            _ => true,
        }
    }
}

type Fleets = Pin<Box<dyn Stream<Item = Result<v1::FleetResponse, Status>> + Send>>;
type Happenings = Pin<Box<dyn Stream<Item = Result<v1::HappeningsResponse, Status>> + Send>>;
type Answers = Pin<Box<dyn Stream<Item = Result<v1::StatusResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AckService for Api {
    async fn get_status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        let caller = caller(&request);
        let question = self.ready(request.into_inner()).await?;
        self.answer(&question, &caller).map(Response::new)
    }

    type WatchStatusStream = Answers;

    async fn watch_status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<Answers>, Status> {
        let permit = self.watch_permit()?;
        let caller = caller(&request);
        let request = request.into_inner();
        let wants_changes = request.changes;
        let question = self.ready(request).await?;
        // What does not exist is refused at once, not in the stream. Watched before it is asked.
        let changes = self.tracking.changes();
        self.answer(&question, &caller)?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let is_of_policy = matches!(question, Question::Policy { .. });
        let asked = Asked {
            question,
            caller,
            sent: (wants_changes && is_of_policy).then(Sent::default),
            edits_refused: String::new(),
        };
        tokio::spawn(self.clone().watch(asked, changes, sender, permit));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type WatchFleetStream = Fleets;

    async fn watch_fleet(
        &self,
        request: Request<v1::FleetRequest>,
    ) -> Result<Response<Fleets>, Status> {
        let permit = self.watch_permit()?;
        let caller = caller(&request);
        // Who may not is told at once, not in the stream.
        self.rights(&caller, &self.views.now())?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(self.clone().watch_all(caller, sender, permit));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type WatchHappeningsStream = Happenings;

    async fn watch_happenings(
        &self,
        request: Request<v1::HappeningsRequest>,
    ) -> Result<Response<Happenings>, Status> {
        let permit = self.watch_permit()?;
        let caller = caller(&request);
        self.rights(&caller, &self.views.now())?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let request = request.into_inner();
        tokio::spawn(self.clone().watch_journal(request, caller, sender, permit));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Api {
    /// Waits until the answer would not be older than what was asked for.
    async fn ready(&self, request: v1::StatusRequest) -> Result<Question, Status> {
        if let Some(Of::Cluster(name) | Of::Policy(v1::PolicyVersion { name, .. })) = &request.of {
            note_name(name);
        }
        let question = Question::read(request.of)?;
        let at_least = request.at_least.as_ref();
        match &question {
            Question::Policy {
                name,
                generation: Some(Generation(generation)),
            } => {
                let name = Name::from(name);
                self.view_of(Kind::Policy, &name, *generation, at_least)
                    .await?;
            }
            _ => {
                self.view_at(at_least).await?;
            }
        }
        Ok(question)
    }

    /// The answer as the caller may see it now: in a stream, rules that change count from then on.
    fn answer(&self, question: &Question, caller: &Identity) -> Result<v1::StatusResponse, Status> {
        let view = self.views.now();
        let rights = self.rights(caller, &view)?;
        let sees = |name: &str| see_policy(&rights, name, &view);
        // Nobody is told of a cluster that they may not see, not even as one more of a number.
        let is_bounded = !rights.are_unbounded();
        let sees_place = |region: &Region, stage: &Stage| {
            !is_bounded || rights.see_cluster(&Scope::of(region, stage))
        };
        let mut response = v1::StatusResponse::default();
        let ask = |tracker: &Tracker, now: Now| {
            match question {
                Question::Policy { name, generation } => {
                    let sees_line = |place: Option<(&Region, &Stage)>| match place {
                        Some((region, stage)) => sees_place(region, stage),
                        None => !is_bounded,
                    };
                    let status = tracker.policy_status_of(name, *generation, now, sees_line);
                    let status = status.ok_or_else(|| {
                        let what = match generation {
                            None => format!("there is no policy {name}"),
                            Some(generation) => format!(
                                "{name}@{generation} is not known here (any more); ask for {name}"
                            ),
                        };
                        Status::not_found(what)
                    })?;
                    if !sees(name.as_str()) {
                        return Err(unseen(&rights, "policy", &Name::from(name)));
                    }
                    response.policies = vec![convert::policy_status(status)];
                }
                Question::Cluster(name) => {
                    let status = tracker
                        .cluster_status(name, now)
                        .ok_or_else(|| Status::not_found(format!("there is no cluster {name}")))?;
                    let mut status = convert::cluster_status(status);
                    if !see_place(&rights, &status.region, &status.stage) {
                        return Err(unseen(&rights, "cluster", &Name::from(name)));
                    }
                    status.exceptions.retain(|line| sees(&line.policy));
                    status.drift.retain(|line| sees(&line.policy));
                    status.waiting = self.desk.asked.waiting(name);
                    status.refused_requests = self.desk.asked.refused(name);
                    response.cluster = Some(status);
                }
                Question::AllPolicies => {
                    response.policies = match is_bounded {
                        false => tracker.columns().map(convert::policy_status).collect(),
                        true => tracker
                            .columns_of(sees_place)
                            .filter(|status| sees(status.name.as_str()))
                            .map(convert::policy_status)
                            .collect(),
                    };
                }
            }
            Ok::<_, Status>(tracker.revision())
        };
        let revision = match question {
            Question::AllPolicies => self.tracking.ask_board(ask),
            _ => self.tracking.ask(ask),
        }?;
        response.as_of = Some(self.as_of(revision));
        Ok(response)
    }

    /// Sends a status now, after every change, and where nothing changed from time to time, until somebody ends it.
    async fn watch(
        self,
        mut asked: Asked,
        mut changes: watch::Receiver<u64>,
        sender: mpsc::Sender<Result<v1::StatusResponse, Status>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let mut due = Instant::now();
        loop {
            let begun = Instant::now();
            changes.mark_unchanged();
            let mut answer = self.answer(&asked.question, &asked.caller);
            let goes_on = answer.is_ok();
            // What others said or did is no news here, and no reason to be silent for longer either.
            let is_news = asked.narrow(&mut answer);
            let took = begun.elapsed();
            if is_news || due <= Instant::now() {
                if sender.send(answer).await.is_err() || !goes_on {
                    return;
                }
                due = Instant::now() + REPEAT_PERIOD;
            }
            let pause = self
                .tracking
                .pause(due.saturating_duration_since(Instant::now()));
            match self.woken(pause, &mut changes, &sender).await {
                // Of many clusters an answer takes long to make: then it is made less often, whoever reads it.
                Some(true) => sleep(CHANGES_JOINED.max(took * IDLE_SHARE)).await,
                Some(false) => {}
                None => return,
            }
        }
    }
}
