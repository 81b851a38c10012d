//! PolicyService, and what it shares with ClusterService: names and pages.

use std::collections::BTreeSet;

use tonic::{Request, Response, Status};
use writ_core::{
    access::{Identity, Proposal, Rights},
    edit::Intent,
    edit::Kind,
    model::{Cluster, ClusterPolicy, Document, Record},
    name::{ClusterName, Name, Region, Stage},
    placement,
    scope::Scope,
};
use writ_proto::v1::{self, policy_service_server::PolicyService};

use super::{
    Api,
    access_service::unseen,
    convert::{self, Detail},
    error,
};
use crate::{
    accept::{self, Submission},
    audit::{note, note_name},
    caller::caller,
    view::View,
};

/// Entries of a page where the client names no number.
const PAGE_SIZE_DEFAULT: usize = 500;

/// Most entries of a page.
const PAGE_SIZE_MAX: usize = 1_000;

/// Size at which a page ends: half of what gRPC clients take in one message by default.
const PAGE_SIZE_MAX_BYTES: usize = 2 * 1024 * 1024;

/// A page that fills.
pub(super) struct Page {
    left: usize,
    left_bytes: usize,
    last: Option<String>,
    is_full: bool,
}

impl Page {
    pub(super) fn new(wanted: u32) -> Page {
        let wanted = usize::try_from(wanted).unwrap_or(PAGE_SIZE_MAX);
        let left = if wanted == 0 {
            PAGE_SIZE_DEFAULT
        } else {
            wanted.min(PAGE_SIZE_MAX)
        };
        Page {
            left,
            left_bytes: PAGE_SIZE_MAX_BYTES,
            last: None,
            is_full: false,
        }
    }

    /// Whether an entry still fits; one does in any case.
    pub(super) fn takes(&mut self, name: &str, bytes: usize) -> bool {
        let fits = self.left > 0 && (bytes <= self.left_bytes || self.last.is_none());
        if fits {
            self.left -= 1;
            self.left_bytes = self.left_bytes.saturating_sub(bytes);
            self.last = Some(name.to_owned());
        }
        self.is_full |= !fits;
        fits
    }

    /// Where the next page begins; empty where this was the last.
    pub(super) fn next_token(self) -> String {
        if self.is_full {
            self.last.unwrap_or_default()
        } else {
            String::new()
        }
    }
}

/// What a list is narrowed to.
pub(super) struct Filter {
    pub(super) after: Option<Name>,
    region: Option<Region>,
    stage: Option<Stage>,
    labels: Vec<(String, String)>,
}

impl Filter {
    pub(super) fn read(request: &v1::ListRequest) -> Result<Filter, Status> {
        let bad = |field, problem: writ_core::name::Error| error::field(field, problem.to_string());
        let given = |text: &str| !text.is_empty();
        let labels = request.match_labels.iter();
        Ok(Filter {
            after: read_after(&request.page_token)?,
            region: Some(&request.region)
                .filter(|text| given(text))
                .map(|text| Region::parse(text).map_err(|problem| bad("region", problem)))
                .transpose()?,
            stage: Some(&request.stage)
                .filter(|text| given(text))
                .map(|text| Stage::parse(text).map_err(|problem| bad("stage", problem)))
                .transpose()?,
            labels: labels
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        })
    }

    fn fits_labels(&self, of: &std::collections::BTreeMap<String, String>) -> bool {
        self.labels
            .iter()
            .all(|(key, value)| of.get(key) == Some(value))
    }

    /// Whether a policy is asked for.
    pub(super) fn fits_policy(&self, intent: &Intent, policy: &ClusterPolicy) -> bool {
        self.fits_labels(&policy.labels) && intent.scopes.iter().any(|scope| self.fits_scope(scope))
    }

    /// Whether a rule of access, the rules of a stage or a proposal is asked for. A rule without regions is
    /// for all of them; so is what is said of a stage. A proposal is where its policy would be, or is.
    pub(super) fn fits_record(&self, record: &Record) -> bool {
        fn within<T: Ord>(asked: Option<&T>, own: Option<&BTreeSet<T>>) -> bool {
            let both = asked.zip(own);
            both.is_none_or(|(asked, own)| own.contains(asked))
        }
        match record {
            Record::Rule(rule) => {
                self.fits_labels(&rule.labels)
                    && within(self.region.as_ref(), rule.bounds.regions.as_ref())
                    && within(self.stage.as_ref(), rule.bounds.stages.as_ref())
            }
            Record::Stage(rules) => {
                self.fits_labels(&rules.labels)
                    && self
                        .stage
                        .as_ref()
                        .is_none_or(|stage| *stage == rules.stage)
            }
            Record::Proposal(_) | Record::Token(_) => self.labels.is_empty(),
        }
    }

    /// Whether a proposal is asked for that is about these scopes.
    pub(super) fn fits_proposal(&self, proposal: &Proposal, now: &BTreeSet<Scope>) -> bool {
        let policy = proposal.policy.as_ref();
        let next = policy.map(|policy| placement::policy_scopes(&policy.clusters));
        let mut scopes = now.iter().chain(next.iter().flatten());
        policy.is_none_or(|policy| self.fits_labels(&policy.labels))
            && scopes.any(|scope| self.fits_scope(scope))
    }

    /// Whether an entry of the registry is asked for.
    pub(super) fn fits_cluster(&self, cluster: &Cluster) -> bool {
        self.fits_labels(&cluster.labels)
            && self
                .region
                .as_ref()
                .is_none_or(|region| *region == cluster.region)
            && self
                .stage
                .as_ref()
                .is_none_or(|stage| *stage == cluster.stage)
    }

    /// Whether clusters of the region and stage asked for may receive what goes to a scope.
    fn fits_scope(&self, scope: &Scope) -> bool {
        fn meets<T: PartialEq>(asked: Option<&T>, own: Option<&T>) -> bool {
            asked.is_none() || own.is_none() || asked == own
        }
        meets(self.region.as_ref(), scope.region.as_ref())
            && meets(self.stage.as_ref(), scope.stage.as_ref())
    }
}

/// Takes the clusters out of a list of names that the caller may not see, those that are gone included.
pub(super) fn keep_seen(clusters: &mut Vec<String>, rights: &Rights<'_>, view: &View) {
    if rights.are_unbounded() {
        return;
    }
    clusters.retain(|name| {
        let name = ClusterName::parse(name).ok();
        let cluster = name.and_then(|name| view.cluster(&name));
        cluster.is_some_and(|of| rights.see_cluster(&Scope::of(&of.region, &of.stage)))
    });
}

/// After which name a page begins.
pub(super) fn read_after(token: &str) -> Result<Option<Name>, Status> {
    match token {
        "" => Ok(None),
        token => Name::parse(token)
            .map(Some)
            .map_err(|problem| error::field("page_token", problem.to_string())),
    }
}

/// The name of a request.
pub(super) fn read_name(text: &str) -> Result<Name, Status> {
    note_name(text);
    Name::parse(text).map_err(|problem| error::field("name", problem.to_string()))
}

#[tonic::async_trait]
impl PolicyService for Api {
    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        self.apply(Kind::Policy, request.into_inner(), &caller)
            .await
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        self.delete(Kind::Policy, request.into_inner(), &caller)
            .await
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (name, view) = self.view_for(Kind::Policy, &request).await?;
        let rights = self.rights(&caller, &view)?;
        let Some((Document::Policy(policy), intent)) = view.found(Kind::Policy, &name) else {
            return Err(unseen(&rights, "policy", &name));
        };
        if !rights.see_policy(name.as_str(), &intent.scopes) {
            return Err(unseen(&rights, "policy", &name));
        }
        let mut policy = convert::policy(intent, policy, Detail::All);
        keep_seen(&mut policy.targets, &rights, &view);
        let policy = Some(policy);
        let as_of = Some(self.as_of(view.revision()));
        Ok(Response::new(v1::GetPolicyResponse { policy, as_of }))
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let filter = Filter::read(&request)?;
        let view = self.view_at(request.at_least.as_ref()).await?;
        let rights = self.rights(&caller, &view)?;
        let detail = if request.with_manifests {
            Detail::Manifest
        } else {
            Detail::Line
        };
        let mut page = Page::new(request.page_size);
        let mut policies = Vec::new();
        for (name, document) in view.documents_after(Kind::Policy, filter.after.as_ref()) {
            let (Document::Policy(policy), Some(intent)) =
                (document.as_ref(), view.intent(Kind::Policy, name))
            else {
                continue;
            };
            let is_seen = rights.see_policy(name.as_str(), &intent.scopes);
            if !is_seen || !filter.fits_policy(intent, policy) {
                continue;
            }
            let policy = convert::policy(intent, policy, detail);
            if !page.takes(name.as_str(), prost::Message::encoded_len(&policy)) {
                break;
            }
            policies.push(policy);
        }
        Ok(Response::new(v1::ListPoliciesResponse {
            policies,
            as_of: Some(self.as_of(view.revision())),
            next_page_token: page.next_token(),
        }))
    }
}

impl Api {
    pub(super) async fn apply(
        &self,
        kind: Kind,
        request: v1::ApplyRequest,
        caller: &Identity,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let submission =
            accept::apply(kind, request, caller).map_err(|refused| error::edit(&refused))?;
        self.submit(submission).await
    }

    pub(super) async fn delete(
        &self,
        kind: Kind,
        request: v1::DeleteRequest,
        caller: &Identity,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let submission =
            accept::delete(kind, request, caller).map_err(|refused| error::edit(&refused))?;
        self.submit(submission).await
    }

    /// Submits an edit, and notes for the audit what it was and became.
    pub(super) async fn submit(
        &self,
        submission: Submission,
    ) -> Result<Response<v1::EditResponse>, Status> {
        note(|noted| {
            noted.request_id = Some(submission.request_id.clone());
            noted.dry_run = submission.dry_run;
            noted.name = submission.named();
        });
        match self.committer.submit(submission).await {
            Ok(answer) => {
                let answer = convert::edit_response(answer);
                note(|noted| {
                    noted.name = Some(answer.name.clone());
                    noted.generation = Some(answer.generation);
                    noted.revision = answer.revision.as_ref().map(convert::to_revision);
                });
                Ok(Response::new(answer))
            }
            Err(refused) => Err(error::edit(&refused)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_by_number_and_by_size_and_never_holds_nothing() {
        let mut page = Page::new(2);
        assert!(page.takes("a", 1) && page.takes("b", 1) && !page.takes("c", 1));
        assert_eq!(page.next_token(), "b");

        let mut page = Page::new(0);
        assert!(page.takes("a", PAGE_SIZE_MAX_BYTES + 1) && !page.takes("b", 1));
        assert_eq!(page.next_token(), "a");

        let mut page = Page::new(2);
        assert!(page.takes("a", 1));
        assert_eq!(page.next_token(), "");
    }
}
