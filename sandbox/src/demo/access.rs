//! Asks API servers who may do what: SubjectAccessReviews, on every API server of a cluster.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::Error;
use crate::cluster::Cluster;

/// How long an answer may stay other than wanted. An API server on the same etcd as the one that was
/// written to lags by up to 20 ms; a busy machine adds to it.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// The same answer so many times in a row counts as stable.
const STABLE_ANSWERS: u32 = 20;
/// Pause between two questions.
const ASK_PERIOD: Duration = Duration::from_millis(10);

/// Somebody and something to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) user: &'static str,
    pub(super) group: Option<&'static str>,
    pub(super) verb: &'static str,
    pub(super) api_group: &'static str,
    pub(super) resource: &'static str,
    /// Empty: in all namespaces.
    pub(super) namespace: &'static str,
}

impl Question {
    fn review(&self) -> SubjectAccessReview {
        let resource = ResourceAttributes {
            verb: Some(self.verb.to_owned()),
            group: Some(self.api_group.to_owned()),
            resource: Some(self.resource.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            ..ResourceAttributes::default()
        };
        SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(self.user.to_owned()),
                groups: self.group.map(|group| vec![group.to_owned()]),
                resource_attributes: Some(resource),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        }
    }

    async fn ask(&self, client: &Client) -> Result<bool, kube::Error> {
        let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
        let answer = reviews
            .create(&PostParams::default(), &self.review())
            .await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// Asks every API server of the clusters until all answer as wanted; says how many were asked.
    pub(super) async fn expect<'a>(
        &self,
        clusters: impl Iterator<Item = &'a Cluster>,
        wanted: bool,
    ) -> Result<usize, Error> {
        let asked = clusters.flat_map(|cluster| {
            cluster
                .clients()
                .map(move |client| self.expect_one(cluster.name(), client, wanted))
        });
        Ok(try_join_all(asked).await?.len())
    }

    async fn expect_one(&self, name: &str, client: &Client, wanted: bool) -> Result<(), Error> {
        let since = Instant::now();
        while self.ask_at(name, client).await? != wanted {
            if since.elapsed() > ANSWER_LIMIT {
                let answer = if wanted { "may" } else { "may not" };
                let Question {
                    user,
                    verb,
                    resource,
                    ..
                } = self;
                return Err(Error::Untrue(format!(
                    "{user} {answer} {verb} {resource} on {name}"
                )));
            }
            tokio::time::sleep(ASK_PERIOD).await;
        }
        Ok(())
    }

    async fn ask_at(&self, name: &str, client: &Client) -> Result<bool, Error> {
        let failed = |cause| Error::ApiServer(name.to_owned(), Box::new(cause));
        self.ask(client).await.map_err(failed)
    }

    /// Asks every API server until it has denied [`STABLE_ANSWERS`] times in a row. Answers how many
    /// API servers and when, from `since`, the last of them denied for the first of those times.
    pub(super) async fn denied_for_good<'a>(
        &self,
        clusters: impl Iterator<Item = &'a Cluster>,
        since: Instant,
    ) -> Result<(usize, Duration), Error> {
        let asked = clusters.flat_map(|cluster| {
            cluster
                .clients()
                .map(move |client| self.denied_at(cluster.name(), client, since))
        });
        let times = try_join_all(asked).await?;
        Ok((times.len(), times.into_iter().max().unwrap_or_default()))
    }

    async fn denied_at(
        &self,
        name: &str,
        client: &Client,
        since: Instant,
    ) -> Result<Duration, Error> {
        let begun = Instant::now();
        let (mut denied, mut first) = (0, since.elapsed());
        while denied < STABLE_ANSWERS {
            if self.ask_at(name, client).await? {
                denied = 0;
            } else {
                if denied == 0 {
                    first = since.elapsed();
                }
                denied += 1;
            }
            if begun.elapsed() > ANSWER_LIMIT {
                return Err(Error::Untrue(format!("{} is denied on {name}", self.user)));
            }
            tokio::time::sleep(ASK_PERIOD).await;
        }
        Ok(first)
    }
}
