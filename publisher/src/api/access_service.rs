//! AccessService: access rules, rules of stages, proposals.

use tonic::{Request, Response, Status};
use writ_core::{
    access::{Proposal, Rights},
    edit::{Intent, Kind},
    model::{Document, Record},
    name::{ClusterName, Name},
    placement,
    scope::Scope,
    tracker::read_manifest,
};
use writ_proto::v1::{self, access_service_server::AccessService};

use super::{
    Api, convert, error,
    policy::{Filter, Page, read_name},
};
use crate::{accept, access::current_policy_generation, caller::caller, track, view::View};

#[tonic::async_trait]
impl AccessService for Api {
    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        self.apply(Kind::Access, request.into_inner(), &caller)
            .await
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        self.delete(Kind::Access, request.into_inner(), &caller)
            .await
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetAccessResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (name, view) = self.view_for(Kind::Access, &request).await?;
        let rights = self.rights(&caller, &view)?;
        match view.found(Kind::Access, &name) {
            Some((Document::Record(record), intent)) if rights.see_record(record) => {
                Ok(Response::new(v1::GetAccessResponse {
                    document: Some(document(intent, record)),
                    as_of: Some(self.as_of(view.revision())),
                }))
            }
            _ => Err(unseen(&rights, "access document", &name)),
        }
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListAccessResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let view = self.view_at(request.at_least.as_ref()).await?;
        let rights = self.rights(&caller, &view)?;
        let filter = Filter::read(&request)?;
        let mut page = Page::new(request.page_size);
        let mut documents = Vec::new();
        for (name, found) in view.documents_after(Kind::Access, filter.after.as_ref()) {
            let (Document::Record(record), Some(intent)) =
                (found.as_ref(), view.intent(Kind::Access, name))
            else {
                continue;
            };
            if !rights.see_record(record) || !filter.fits_record(record) {
                continue;
            }
            let document = document(intent, record);
            if !page.takes(name.as_str(), prost::Message::encoded_len(&document)) {
                break;
            }
            documents.push(document);
        }
        Ok(Response::new(v1::ListAccessResponse {
            documents,
            as_of: Some(self.as_of(view.revision())),
            next_page_token: page.next_token(),
        }))
    }

    async fn get_proposal(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetProposalResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (name, view) = self.view_for(Kind::Proposal, &request).await?;
        let rights = self.rights(&caller, &view)?;
        let found = view.proposal(&name).zip(view.intent(Kind::Proposal, &name));
        match found {
            Some((found, intent)) if see_proposal(&rights, found, &view) => {
                Ok(Response::new(v1::GetProposalResponse {
                    proposal: Some(proposal(intent, found, &view)),
                    as_of: Some(self.as_of(view.revision())),
                }))
            }
            _ => Err(unseen(&rights, "proposal", &name)),
        }
    }

    async fn list_proposals(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListProposalsResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let view = self.view_at(request.at_least.as_ref()).await?;
        let rights = self.rights(&caller, &view)?;
        let filter = Filter::read(&request)?;
        let mut page = Page::new(request.page_size);
        let mut proposals = Vec::new();
        for (name, _) in view.documents_after(Kind::Proposal, filter.after.as_ref()) {
            let found = view.proposal(name).zip(view.intent(Kind::Proposal, name));
            let Some((found, intent)) = found else {
                continue;
            };
            let now = view.intent(Kind::Policy, name);
            let now = now.map(|intent| intent.scopes.clone()).unwrap_or_default();
            if !see_proposal(&rights, found, &view) || !filter.fits_proposal(found, &now) {
                continue;
            }
            let mut line = proposal(intent, found, &view);
            if !request.with_manifests {
                line.manifest.clear();
            }
            if !page.takes(name.as_str(), prost::Message::encoded_len(&line)) {
                break;
            }
            proposals.push(line);
        }
        Ok(Response::new(v1::ListProposalsResponse {
            proposals,
            as_of: Some(self.as_of(view.revision())),
            next_page_token: page.next_token(),
        }))
    }

    async fn approve(
        &self,
        request: Request<v1::ApproveRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let name = read_name(&request.name)?;
        let view = self
            .view_of(Kind::Proposal, &name, request.generation, None)
            .await?;
        let Some(proposal) = view.proposal(&name) else {
            // The same request again gets the same answer, although the proposal is gone by it.
            return match approved(&view, &name, &request.request_id) {
                Some(answer) => Ok(Response::new(answer)),
                None => Err(Status::not_found(format!("there is no proposal {name}"))),
            };
        };
        let submission = accept::approve(proposal, request, &caller);
        self.submit(submission.map_err(|refused| error::edit(&refused))?)
            .await
    }

    async fn reject(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        self.delete(Kind::Proposal, request.into_inner(), &caller)
            .await
    }
}

/// What an approval of before made, told by the intents that it left.
fn approved(view: &View, name: &Name, request_id: &str) -> Option<v1::EditResponse> {
    let is_of_request = |intent: &&std::sync::Arc<Intent>| {
        !request_id.is_empty() && intent.request_id == request_id
    };
    let proposal = view.intent(Kind::Proposal, name).filter(is_of_request)?;
    let policy = view.intent(Kind::Policy, name).filter(is_of_request)?;
    proposal.manifest.is_none().then(|| v1::EditResponse {
        name: name.to_string(),
        generation: policy.generation.0,
        revision: Some(convert::revision(policy.revision)),
        target_count: u32::try_from(policy.targets.len()).unwrap_or(u32::MAX),
        request_id: request_id.to_owned(),
        ..v1::EditResponse::default()
    })
}

/// Not there, or not for the caller to see: who sees everything is told which.
pub(super) fn unseen(rights: &Rights<'_>, what: &str, name: &Name) -> Status {
    let rest = match rights.are_unbounded() {
        true => "",
        false => ", or it is outside what you may see",
    };
    Status::not_found(format!("there is no {what} {name}{rest}"))
}

/// Whether a policy of that name is the caller's to see.
pub(super) fn see_policy(rights: &Rights<'_>, name: &str, view: &View) -> bool {
    let intent = || view.intent(Kind::Policy, &Name::parse(name).ok()?);
    rights.are_unbounded() || intent().is_some_and(|intent| see_intent(rights, intent, view))
}

/// Whether the clusters of a region and stage are.
pub(super) fn see_place(rights: &Rights<'_>, region: &str, stage: &str) -> bool {
    let place = || Scope::parse(region, stage);
    rights.are_unbounded() || place().is_ok_and(|place| rights.see_cluster(&place))
}

/// Whether an edit of a policy, a cluster or a record is the caller's to see.
///
/// A deletion is in no scope any more: whom it was for says who sees it.
pub(super) fn see_intent(rights: &Rights<'_>, intent: &Intent, view: &View) -> bool {
    if rights.are_unbounded() {
        return true;
    }
    let name = intent.name.as_str();
    let sees_cluster = |name: &str| {
        let name = ClusterName::parse(name).ok();
        let cluster = name.and_then(|name| view.cluster(&name));
        cluster.is_some_and(|of| rights.see_cluster(&Scope::of(&of.region, &of.stage)))
    };
    match intent.kind {
        Kind::Policy if intent.manifest.is_some() => rights.see_policy(name, &intent.scopes),
        Kind::Policy => {
            let fits = rights.see_policy(name, &[Scope::all()]);
            fits && (intent.targets.is_empty() || intent.targets.iter().any(|of| sees_cluster(of)))
        }
        Kind::Cluster => match read_manifest(intent) {
            Ok(Some(Document::Cluster(of))) => {
                rights.see_cluster(&Scope::of(&of.region, &of.stage))
            }
            _ => sees_cluster(name),
        },
        Kind::Access => match read_manifest(intent) {
            Ok(Some(Document::Record(record))) => rights.see_record(&record),
            _ => false,
        },
        Kind::Proposal => match read_manifest(intent) {
            Ok(Some(Document::Record(Record::Proposal(of)))) => see_proposal(rights, &of, view),
            _ => false,
        },
        Kind::Token => false,
    }
}

/// Who sees the policy sees what is proposed for it, before or after.
pub(super) fn see_proposal(rights: &Rights<'_>, proposal: &Proposal, view: &View) -> bool {
    let now = view.intent(Kind::Policy, &proposal.name);
    let mut scopes = now.map(|intent| intent.scopes.clone()).unwrap_or_default();
    if let Some(policy) = &proposal.policy {
        scopes.extend(placement::policy_scopes(&policy.clusters));
    }
    rights.see_policy(proposal.name.as_str(), &scopes)
}

fn document(intent: &Intent, record: &Record) -> v1::AccessDocument {
    let (subjects, role, bounds) = match record {
        Record::Rule(rule) => (
            list(rule.subjects.iter()),
            rule.role.to_string(),
            rule.bounds.to_string(),
        ),
        Record::Stage(rules) => {
            let mut parts = vec![
                format!("confirm above {} clusters", rules.confirm_above_clusters),
                format!("{} subjects", rules.confirm_above_subjects),
            ];
            if rules.require_approval {
                parts.push("a second person".to_owned());
            }
            if !rules.protected_groups.is_empty() {
                let groups = list(rules.protected_groups.iter());
                parts.push(format!("protected groups {groups}"));
            }
            (
                format!("stage {}", rules.stage),
                String::new(),
                parts.join("; "),
            )
        }
        Record::Proposal(_) | Record::Token(_) => Default::default(),
    };
    v1::AccessDocument {
        name: intent.name.to_string(),
        generation: intent.generation.0,
        revision: Some(convert::revision(intent.revision)),
        kind: record.document_kind().to_owned(),
        manifest: intent.manifest.clone().unwrap_or_default(),
        committed_at: Some(convert::time(intent.committed_ms)),
        author: intent.author.clone(),
        reason: intent.reason.clone(),
        subjects,
        role,
        bounds,
    }
}

fn list<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let texts: Vec<String> = items.map(|item| item.to_string()).collect();
    texts.join(", ")
}

fn proposal(intent: &Intent, proposal: &Proposal, view: &View) -> v1::Proposal {
    let current = current_policy_generation(view, &proposal.name);
    let state = match proposal.check_open(current, track::wall_ms()) {
        Ok(()) => "open",
        Err(writ_core::access::NotApproved::Stale { .. }) => "stale",
        Err(_) => "expired",
    };
    v1::Proposal {
        name: intent.name.to_string(),
        generation: intent.generation.0,
        base_generation: proposal.base,
        manifest: proposal.manifest.clone().unwrap_or_default(),
        author: intent.author.clone(),
        reason: proposal.reason.clone(),
        proposed_at: Some(convert::time(intent.committed_ms)),
        expires_at: Some(convert::time(proposal.expires_ms)),
        state: state.to_owned(),
        current_generation: current,
    }
}
