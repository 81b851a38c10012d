//! HistoryService: the edits of a name, and the fleet as it was.

use std::{collections::BTreeSet, pin::Pin};

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use writ_bus::streams::MESSAGES_PER_SUBJECT;
use writ_core::{
    access::{Identity, Rights},
    edit::Intent,
    edit::Kind,
    epoch::FIRST,
    model::{ClusterIdentity, CompiledPolicy, Document},
    name::Name,
    revision::{Generation, Revision},
    scope::Scope,
};
use writ_proto::v1::{self, history_service_server::HistoryService};

use super::{
    Api,
    access_service::{see_intent, unseen},
    convert::{self, Detail},
    error,
    past::{Entry, Held, Scene, unknown_entry, unread},
    policy::{Filter, Page, keep_seen, read_name},
};
use crate::{
    caller::caller,
    past::CHUNK_NAMES_MAX,
    render::{self, NAMESPACES_MAX, Namespaces},
};

/// Parts of a rendered cluster that wait for a slow reader.
const PARTS_WAITING_MAX: usize = 4;

type Parts = Pin<Box<dyn Stream<Item = Result<v1::RenderResponse, Status>> + Send>>;
type Sender = mpsc::Sender<Result<v1::RenderResponse, Status>>;

fn read_kind(kind: v1::EntryKind) -> Result<Kind, Status> {
    match kind {
        v1::EntryKind::Policy => Ok(Kind::Policy),
        v1::EntryKind::Cluster => Ok(Kind::Cluster),
        v1::EntryKind::Access => Ok(Kind::Access),
        v1::EntryKind::Token => Ok(Kind::Token),
        v1::EntryKind::Proposal => Ok(Kind::Proposal),
        v1::EntryKind::Unspecified => {
            Err(error::field("kind", "the kind of the name is asked for"))
        }
    }
}

/// The answer for a name that the log does not know, or of which the caller may see no edit.
fn never(rights: &Rights<'_>, kind: Kind, name: &Name, newest: Revision) -> Status {
    let epoch = newest.epoch;
    if !rights.are_unbounded() {
        return unseen(rights, &kind.to_string(), name);
    }
    Status::not_found(if epoch > FIRST {
        format!(
            "the log knows of no {kind} {name}; it was recovered in epoch {epoch}, and whether it was \
             there before is unknown"
        )
    } else {
        format!("{kind} {name} never was")
    })
}

/// What an edit did to its name, from the one before it.
fn kind_of(edit: &Intent, before: Option<&Before>) -> v1::EditKind {
    let before = before.filter(|before| before.generation.next() == edit.generation);
    match (&edit.manifest, before) {
        _ if edit.is_unknown() => v1::EditKind::Unspecified,
        (None, _) => v1::EditKind::Deleted,
        // What it did to what was there before is lost with that.
        (Some(_), None) if edit.is_recovered() => v1::EditKind::Put,
        (Some(_), None) if edit.generation.0 == 1 => v1::EditKind::Created,
        (Some(_), None) => v1::EditKind::Put,
        (Some(_), Some(before)) if before.is_deleted => v1::EditKind::Recreated,
        (Some(_), Some(before)) if before.scopes != edit.scopes => v1::EditKind::Moved,
        (Some(_), Some(_)) => v1::EditKind::Changed,
    }
}

/// What is needed of an edit to judge the next one.
struct Before {
    generation: Generation,
    is_deleted: bool,
    scopes: BTreeSet<Scope>,
}

impl Before {
    fn of(intent: &Intent) -> Before {
        Before {
            generation: intent.generation,
            is_deleted: intent.manifest.is_none(),
            scopes: intent.scopes.clone(),
        }
    }
}

#[tonic::async_trait]
impl HistoryService for Api {
    async fn list_edits(
        &self,
        request: Request<v1::ListEditsRequest>,
    ) -> Result<Response<v1::ListEditsResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (kind, name) = (read_kind(request.kind())?, read_name(&request.name)?);
        let after: u64 = match request.page_token.as_str() {
            "" => 0,
            token => token
                .parse()
                .map_err(|_| error::field("page_token", "it is none of this list"))?,
        };
        let (generation, at_least) = (request.at_least_generation, request.at_least.as_ref());
        let _turn = self.turn().await?;
        let view = self.view_of(kind, &name, generation, at_least).await?;
        let rights = self.rights(&caller, &view)?;
        let mut page = Page::new(0);
        let mut response = v1::ListEditsResponse {
            as_of: Some(self.as_of(view.revision())),
            kept_max: u32::try_from(MESSAGES_PER_SUBJECT).unwrap_or(u32::MAX),
            ..Default::default()
        };
        let mut before: Option<Before> = None;
        let mut is_seen = after > 0 || rights.are_unbounded();
        let take = |intent: Intent| {
            if before.is_none() {
                response.oldest_generation = intent.generation.0;
            }
            let mut edit = convert::edit(&intent, kind_of(&intent, before.as_ref()));
            before = Some(Before::of(&intent));
            if edit.generation <= after || !see_intent(&rights, &intent, &view) {
                return true;
            }
            is_seen = true;
            keep_seen(&mut edit.targets, &rights, &view);
            let size = prost::Message::encoded_len(&edit);
            let fits = page.takes(&edit.generation.to_string(), size);
            if fits {
                response.edits.push(edit);
            }
            fits
        };
        let read = self.past.edits(kind, &name, take).await;
        let revoked = read.map_err(|problem| unread(&problem))?;
        if before.is_none() || !is_seen {
            return Err(never(&rights, kind, &name, view.revision()));
        }
        response.revoked = revoked;
        response.next_page_token = page.next_token();
        Ok(Response::new(response))
    }

    async fn get_edit(
        &self,
        request: Request<v1::GetEditRequest>,
    ) -> Result<Response<v1::GetEditResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (kind, name) = (read_kind(request.kind())?, read_name(&request.name)?);
        let _turn = self.turn().await?;
        let at_least = request.at_least.as_ref();
        let view = self
            .view_of(kind, &name, request.generation, at_least)
            .await?;
        let rights = self.rights(&caller, &view)?;
        let latest = view.generation(kind, &name);
        if latest.0 == 0 {
            return Err(never(&rights, kind, &name, view.revision()));
        }
        let wanted = if request.generation == 0 {
            latest.0
        } else {
            request.generation
        };
        let (mut before, mut oldest, mut found) = (None, None, None);
        let take = |intent: Intent| {
            let generation = intent.generation.0;
            oldest.get_or_insert(generation);
            // Two epochs may have said one generation: the later one counts.
            if generation == wanted {
                found = Some(intent);
            } else if found.is_none() && generation < wanted {
                before = Some(Before::of(&intent));
            }
            generation <= wanted || view.revision().epoch > FIRST
        };
        let read = self.past.edits(kind, &name, take).await;
        read.map_err(|problem| unread(&problem))?;
        let Some(intent) = found else {
            let kept = oldest.map_or_else(
                || "nothing of it is kept".to_owned(),
                |oldest| format!("the kept history begins at {name}@{oldest}"),
            );
            return Err(Status::out_of_range(format!(
                "{name}@{wanted} is not kept: {kept}"
            )));
        };
        if !see_intent(&rights, &intent, &view) {
            return Err(never(&rights, kind, &name, view.revision()));
        }
        let mut edit = convert::edit(&intent, kind_of(&intent, before.as_ref()));
        keep_seen(&mut edit.targets, &rights, &view);
        Ok(Response::new(v1::GetEditResponse {
            edit: Some(edit),
            manifest: intent.manifest.unwrap_or_default(),
            latest_generation: latest.0,
            as_of: Some(self.as_of(view.revision())),
        }))
    }

    async fn list_policies(
        &self,
        request: Request<v1::ListAtRequest>,
    ) -> Result<Response<v1::ListPoliciesAtResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let scene = self.listed_scene(&request).await?;
        let rights = self.rights(&caller, &scene.view)?;
        let make = |held: &Held, filter: &Filter, detail| match held.document.as_ref() {
            Document::Policy(policy) => (filter.fits_policy(&held.intent, policy)
                && rights.see_policy(held.intent.name.as_str(), &held.intent.scopes))
            .then(|| convert::policy(&held.intent, policy, detail)),
            Document::Cluster(_) | Document::Record(_) => None,
        };
        let listed = self.list_at(Kind::Policy, &request, &scene, make).await?;
        Ok(Response::new(v1::ListPoliciesAtResponse {
            policies: listed.items,
            unknown: listed.unknown,
            absent: listed.absent,
            place: Some(scene.place()),
            as_of: Some(self.as_of(scene.view.revision())),
            next_page_token: listed.next_page_token,
        }))
    }

    async fn list_clusters(
        &self,
        request: Request<v1::ListAtRequest>,
    ) -> Result<Response<v1::ListClustersAtResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let scene = self.listed_scene(&request).await?;
        let rights = self.rights(&caller, &scene.view)?;
        let make = |held: &Held, filter: &Filter, detail| match held.document.as_ref() {
            Document::Cluster(cluster) => (filter.fits_cluster(cluster)
                && rights.see_cluster(&Scope::of(&cluster.region, &cluster.stage)))
            .then(|| convert::cluster(&held.intent, cluster, None, detail)),
            Document::Policy(_) | Document::Record(_) => None,
        };
        let listed = self.list_at(Kind::Cluster, &request, &scene, make).await?;
        Ok(Response::new(v1::ListClustersAtResponse {
            clusters: listed.items,
            unknown: listed.unknown,
            absent: listed.absent,
            place: Some(scene.place()),
            as_of: Some(self.as_of(scene.view.revision())),
            next_page_token: listed.next_page_token,
        }))
    }

    type RenderStream = Parts;

    async fn render(&self, request: Request<v1::RenderRequest>) -> Result<Response<Parts>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let cluster = Name::parse(&request.cluster)
            .map_err(|problem| error::field("cluster", problem.to_string()))?;
        let only = Some(&request.policy)
            .filter(|text| !text.is_empty())
            .map(|text| Name::parse(text))
            .transpose()
            .map_err(|problem| error::field("policy", problem.to_string()))?;
        let scene = self.scene(request.at, request.at_least.as_ref()).await?;
        let entry = self
            .look(&scene, Kind::Cluster, std::slice::from_ref(&cluster))
            .await?
            .pop();
        let head = match entry {
            Some((_, Entry::Held(held))) => held,
            Some((_, Entry::Unknown(unknown))) => {
                return Err(Status::out_of_range(format!(
                    "whether cluster {cluster} was there is unknown: {}",
                    unknown.message
                )));
            }
            Some((_, Entry::Absent)) | None => {
                return Err(Status::not_found(format!("there was no cluster {cluster}")));
            }
        };
        let rights = self.rights(&caller, &scene.view)?;
        if !see_intent(&rights, &head.intent, &scene.view) {
            return Err(unseen(&rights, "cluster", &cluster));
        }
        let (sender, receiver) = mpsc::channel(PARTS_WAITING_MAX);
        let api = self.clone();
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = api.render_to(&sender, &scene, &head, only, &caller) => ended,
                () = api.stop.cancelled() => {
                    Err(Status::unavailable("this publisher ends: ask again, or another"))
                }
            };
            if let Err(status) = ended {
                // A reader that is gone needs no word.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Api {
    async fn listed_scene(&self, request: &v1::ListAtRequest) -> Result<Scene, Status> {
        let filter = request.filter.as_ref();
        let at_least = filter.and_then(|filter| filter.at_least.as_ref());
        self.scene(request.at, at_least).await
    }

    /// Twice over the policies: which namespaces they declare, which grants may select; then each.
    async fn render_to(
        &self,
        sender: &Sender,
        scene: &Scene,
        head: &Held,
        only: Option<Name>,
        caller: &Identity,
    ) -> Result<(), Status> {
        let rights = self.rights(caller, &scene.view)?;
        let Document::Cluster(cluster) = head.document.as_ref() else {
            return Err(Status::internal("the entry is not a cluster"));
        };
        let part = v1::render_response::Part::Head(v1::RenderHead {
            cluster: Some(convert::cluster(&head.intent, cluster, None, Detail::All)),
            place: Some(scene.place()),
            as_of: Some(self.as_of(scene.view.revision())),
        });
        send(sender, part).await?;
        let names: Vec<Name> = match only {
            Some(name) => vec![name],
            None => scene
                .view
                .names_after(Kind::Policy, None)
                .cloned()
                .collect(),
        };
        let identity = cluster.identity();
        let (told, namespaces) = self.told(sender, scene, &identity, &names).await?;
        for chunk in told.chunks(CHUNK_NAMES_MAX) {
            for (_, entry) in self.look(scene, Kind::Policy, chunk).await? {
                let Entry::Held(held) = entry else { continue };
                // What goes to the cluster, and has a name that the caller may not see, is left out.
                if !see_intent(&rights, &held.intent, &scene.view) {
                    continue;
                }
                let Some(policy) = compiled(&held, &identity)? else {
                    continue;
                };
                let rendered = render::render(&policy, &namespaces).map_err(|problem| {
                    Status::resource_exhausted(format!("{}: {problem}", policy.name))
                })?;
                let policy = convert::rendered(&held.intent, rendered);
                send(sender, v1::render_response::Part::Policy(policy)).await?;
            }
        }
        Ok(())
    }

    /// The policies that are for a cluster, and the namespaces that they declare. Sends the unknown.
    async fn told(
        &self,
        sender: &Sender,
        scene: &Scene,
        cluster: &ClusterIdentity,
        names: &[Name],
    ) -> Result<(Vec<Name>, Namespaces), Status> {
        let (mut told, mut namespaces) = (Vec::new(), Namespaces::new());
        for chunk in names.chunks(CHUNK_NAMES_MAX) {
            for (name, entry) in self.look(scene, Kind::Policy, chunk).await? {
                match entry {
                    Entry::Held(held) => {
                        if let Some(policy) = compiled(&held, cluster)? {
                            render::add_namespaces(&policy, &mut namespaces);
                            told.push(name);
                        }
                    }
                    Entry::Unknown(unknown) => {
                        let unknown = unknown_entry(&name, unknown);
                        send(sender, v1::render_response::Part::Unknown(unknown)).await?;
                    }
                    Entry::Absent => {}
                }
            }
            if namespaces.len() > NAMESPACES_MAX {
                return Err(Status::resource_exhausted(format!(
                    "the policies declare over {NAMESPACES_MAX} namespaces"
                )));
            }
        }
        Ok((told, namespaces))
    }
}

/// A policy in the form that clusters receive; nothing where it is not for this one.
fn compiled(held: &Held, cluster: &ClusterIdentity) -> Result<Option<CompiledPolicy>, Status> {
    let Document::Policy(policy) = held.document.as_ref() else {
        return Ok(None);
    };
    if !policy.clusters.matches(cluster) {
        return Ok(None);
    }
    let decoded = CompiledPolicy::decode(policy.compile().bytes());
    decoded.map(Some).map_err(|problem| {
        Status::internal(format!("{} can't be compiled: {problem}", policy.name))
    })
}

async fn send(sender: &Sender, part: v1::render_response::Part) -> Result<(), Status> {
    let response = v1::RenderResponse { part: Some(part) };
    sender
        .send(Ok(response))
        .await
        .map_err(|_| Status::cancelled("the reader is gone"))
}
