//! The steps of the story, in order. Each asks first and tells then.

use std::time::{Duration, Instant};

use serde_json::Value;
use writ_core::name::ClusterName;
use writ_proto::v1::{PolicyVersion, liveness::State, status_request::Of};

use super::{
    Error,
    access::Question,
    ceiling, measure, objects,
    policies::{self, Api},
    told,
};
use crate::{cluster::Cluster, fleet::Fleet};

/// How long a silent cluster may take to be shown as such: three pulses and some.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two questions to the publisher.
const POLL_PERIOD: Duration = Duration::from_millis(50);

const AUDITOR: Question = Question {
    user: "carol",
    group: Some("oidc:auditors"),
    verb: "list",
    api_group: "",
    resource: "services",
    namespace: "",
};
const ONCALL: Question = Question {
    user: "sre",
    group: Some("oidc:sre-oncall"),
    verb: "patch",
    api_group: "apps",
    resource: "deployments",
    namespace: "",
};
const OWNER: Question = Question {
    user: "dave",
    group: Some("oidc:payments-devs"),
    verb: "patch",
    api_group: "apps",
    resource: "deployments",
    namespace: "payments",
};
const BOB: Question = Question {
    user: "bob@example.com",
    group: None,
    verb: "list",
    api_group: "",
    resource: "pods",
    namespace: "payments",
};
const BOT: Question = Question {
    user: "system:serviceaccount:ci:ci-bot",
    group: None,
    verb: "patch",
    api_group: "apps",
    resource: "deployments",
    namespace: "ci",
};

pub(super) async fn tell(fleet: &mut Fleet, rounds: u32) -> Result<(), Error> {
    let api = Api::new(fleet)?;
    let examples = policies::examples()?;
    registry(fleet).await?;
    arrival(&api, &examples).await?;
    access(fleet).await?;
    revocation(fleet, &api, &examples).await?;
    newcomer(fleet, &api).await?;
    silence(fleet, &api).await?;
    drift(fleet).await?;
    ceiling::tell(fleet, &api).await?;
    if rounds > 0 {
        told::step(
            9,
            &format!("How fast: {rounds} edits, each beside one PATCH to each API server"),
        )?;
        measure::run(fleet, &api, rounds).await?.tell()?;
    }
    Ok(())
}

async fn registry(fleet: &Fleet) -> Result<(), Error> {
    told::step(
        1,
        "Six clusters join; each of them can list the whole fleet",
    )?;
    let count = fleet.clusters().count();
    for cluster in fleet.clusters() {
        objects::expect_registry(cluster, count).await?;
    }
    told::seen(format!(
        "kubectl get clusters.writ.dev lists {count} entries on each of {count} clusters"
    ))
    .map_err(Error::from)
}

async fn arrival(api: &Api, examples: &[(&str, Value)]) -> Result<(), Error> {
    told::step(
        2,
        "Four policies go out; every cluster answers with a signed acknowledgement",
    )?;
    for (file, manifest) in examples {
        let submitted = api.apply(manifest, "the demo").await?;
        let edit = &submitted.edit;
        told::line(format!(
            "   examples/{file}: {}@{} for {} clusters",
            edit.name, edit.generation, edit.target_count
        ))?;
        let took = api.tell_arrival(&submitted).await?;
        told::seen(format!(
            "applied on all {} after {}",
            edit.target_count,
            told::ms(took)
        ))?;
    }
    told::status(&api.status(Of::AllPolicies(Default::default())).await?)?;
    Ok(())
}

async fn access(fleet: &Fleet) -> Result<(), Error> {
    told::step(
        3,
        "Not believed, but asked: every API server itself says who may do what",
    )?;
    let prod_of_two = |cluster: &&Cluster| matches!(cluster.name(), "eu-prod-1" | "us-prod-1");
    let stage = |cluster: &&Cluster| cluster.name().contains("-stage-");
    let all = |_: &&Cluster| true;
    type Pick<'a> = &'a dyn Fn(&&Cluster) -> bool;
    let claims: [(&str, Question, Pick<'_>); 5] = [
        (
            "auditors may list services in every namespace",
            AUDITOR,
            &all,
        ),
        (
            "on-call engineers may patch deployments everywhere",
            ONCALL,
            &all,
        ),
        (
            "the payments team may patch its deployments",
            OWNER,
            &prod_of_two,
        ),
        ("bob may list the payments team's pods", BOB, &prod_of_two),
        ("the CI bot may patch deployments in ci", BOT, &stage),
    ];
    for (claim, question, pick) in claims {
        let yes = question.expect(fleet.clusters().filter(pick), true).await?;
        let no = question
            .expect(fleet.clusters().filter(|cluster| !pick(cluster)), false)
            .await?;
        let elsewhere = if no > 0 {
            format!(", and on no other ({no} asked)")
        } else {
            String::new()
        };
        told::seen(format!("{claim}: yes on {yes} API servers{elsewhere}"))?;
    }
    Ok(())
}

async fn revocation(fleet: &Fleet, api: &Api, examples: &[(&str, Value)]) -> Result<(), Error> {
    told::step(
        4,
        "Bob loses his access; it is asked until it is denied for good",
    )?;
    let Some((_, manifest)) = examples
        .iter()
        .find(|(file, _)| *file == "team-payments.yaml")
    else {
        return Ok(());
    };
    let fewer = policies::without_grant(manifest, "support");
    let since = Instant::now();
    let submitted = api.apply(&fewer, "bob left the team").await?;
    let (denied, arrived) = tokio::try_join!(
        BOB.denied_for_good(fleet.clusters(), since),
        api.tell_arrival(&submitted),
    )?;
    let (servers, took) = denied;
    told::seen(format!(
        "removed and acknowledged after {}; the last of {servers} API servers denied from {} on, 20 times in a row",
        told::ms(arrived),
        told::ms(took)
    ))?;
    told::aside(
        "What Kubernetes itself does not undo: watches, logs and execs that are open stay open;",
    )?;
    told::aside(
        "the token of a deleted ServiceAccount works for about 10 s more (its bindings are gone at once).",
    )?;
    Ok(())
}

async fn newcomer(fleet: &mut Fleet, api: &Api) -> Result<(), Error> {
    told::step(
        5,
        "A seventh cluster joins; it catches up by replay, nobody pushes to it",
    )?;
    let place = |text: &str| Error::Untrue(format!("{text} is a name"));
    let region = "eu".parse().map_err(|_| place("eu"))?;
    let stage = "prod".parse().map_err(|_| place("prod"))?;
    let name = fleet.add_cluster(&region, &stage).await?;
    let since = Instant::now();
    loop {
        let status = api.cluster(name.as_str()).await?;
        let counts = status.counts.unwrap_or_default();
        if counts.target > 0 && counts.applied == counts.target {
            told::seen(format!(
                "{name} applied all {} policies that are for it, {} after it was first heard",
                counts.applied,
                told::ms(since.elapsed())
            ))?;
            break;
        }
        if since.elapsed() > SILENCE_LIMIT {
            let missing = status.exceptions.iter();
            let missing = missing.map(|it| format!("{} {} {}", it.policy, it.reason, it.message));
            let missing: Vec<String> = missing.collect();
            return Err(Error::Untrue(format!(
                "{name} catches up: {}",
                missing.join("; ")
            )));
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
    let newcomer = || {
        fleet
            .clusters()
            .filter(|cluster| cluster.name() == name.as_str())
    };
    AUDITOR.expect(newcomer(), true).await?;
    OWNER.expect(newcomer(), true).await?;
    BOB.expect(newcomer(), false).await?;
    told::seen("its API server agrees: auditors and the payments team yes, bob no")?;
    let count = fleet.clusters().count();
    for cluster in fleet.clusters() {
        objects::expect_registry(cluster, count).await?;
    }
    told::seen(format!("all {count} clusters list {count} entries now"))?;
    Ok(())
}

async fn silence(fleet: &mut Fleet, api: &Api) -> Result<(), Error> {
    told::step(
        6,
        "A subscriber is killed; its cluster is shown as silent, never as good",
    )?;
    let name: ClusterName = "ap-stage-1"
        .parse()
        .map_err(|_| Error::Untrue("ap-stage-1 is a name".into()))?;
    fleet.kill_subscriber(&name).await?;
    let since = Instant::now();
    wait_for(api, &name, State::Silent).await?;
    let policy = PolicyVersion {
        name: "sre-oncall".into(),
        generation: 0,
    };
    let status = api.status(Of::Policy(policy)).await?;
    let counts = status
        .policies
        .first()
        .and_then(|policy| policy.counts)
        .unwrap_or_default();
    if counts.silent != 1 || counts.applied + counts.silent != counts.target {
        return Err(Error::Untrue(format!(
            "{name} is counted as silent and nothing else"
        )));
    }
    told::status(&status)?;
    told::seen(format!(
        "{name} is silent after {:.1} s, and no longer counted as applied",
        since.elapsed().as_secs_f64()
    ))?;
    ONCALL
        .expect(
            fleet
                .clusters()
                .filter(|cluster| cluster.name() == name.as_str()),
            true,
        )
        .await?;
    told::seen("what is in force there stays in force: on-call access still works")?;
    fleet.start_subscriber(&name).await?;
    wait_for(api, &name, State::Live).await?;
    told::seen("started again, it is live")?;
    Ok(())
}

async fn wait_for(api: &Api, name: &ClusterName, wanted: State) -> Result<(), Error> {
    let since = Instant::now();
    loop {
        let liveness = api
            .cluster(name.as_str())
            .await?
            .liveness
            .unwrap_or_default();
        if liveness.state() == wanted {
            return Ok(());
        }
        if since.elapsed() > SILENCE_LIMIT {
            return Err(Error::Untrue(format!(
                "{name} becomes {}",
                wanted.as_str_name()
            )));
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
}

async fn drift(fleet: &Fleet) -> Result<(), Error> {
    told::step(
        7,
        "Somebody deletes a binding by hand; it comes back by itself",
    )?;
    let Some(cluster) = fleet
        .clusters()
        .find(|cluster| cluster.name() == "us-prod-1")
    else {
        return Err(Error::Untrue("us-prod-1 is there".into()));
    };
    let binding = "writ:sre-oncall:oncall";
    let took = objects::delete_and_see_it_back(cluster, binding).await?;
    told::seen(format!(
        "ClusterRoleBinding {binding} on us-prod-1 was back after {}",
        told::ms(took)
    ))?;
    ONCALL.expect(std::iter::once(cluster), true).await?;
    told::seen("and on-call access with it")?;
    Ok(())
}
