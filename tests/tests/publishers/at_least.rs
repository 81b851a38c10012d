//! An edit through one publisher, asked for at once at another one whose follower hears nothing: the
//! answer waits or is refused, and is never older.

use std::time::Duration;

use tokio::time::sleep;
use tonic::Code;
use writ_proto::v1::{self, status_request::Of};
use writ_tests::{
    hub::{Hub, Size, policy},
    proxy::Proxy,
};

use crate::WRIT;

/// How the second publisher is asked.
#[derive(Debug, Clone, Copy)]
enum Question {
    Get,
    GetAtGeneration,
    List,
    Status,
}

const QUESTIONS: [Question; 4] = [
    Question::Get,
    Question::GetAtGeneration,
    Question::List,
    Question::Status,
];

/// The generation that is answered, and the revision as of which.
async fn ask(
    hub: &Hub,
    question: Question,
    name: String,
    edit: &v1::EditResponse,
) -> Result<(u64, u64), tonic::Status> {
    let (mut policies, mut acks) = (hub.policies(1), hub.acks(1));
    let number = |as_of: Option<v1::AsOf>| as_of.unwrap().revision.unwrap().number;
    match question {
        Question::Get | Question::GetAtGeneration => {
            let by_generation = matches!(question, Question::GetAtGeneration);
            let request = v1::GetRequest {
                name,
                at_least: edit.revision.filter(|_| !by_generation),
                at_least_generation: if by_generation { edit.generation } else { 0 },
            };
            let got = policies.get(request).await?.into_inner();
            Ok((got.policy.unwrap().generation, number(got.as_of)))
        }
        Question::List => {
            let request = v1::ListRequest {
                at_least: edit.revision,
                ..Default::default()
            };
            let listed = policies.list(request).await?.into_inner();
            let found = listed.policies.iter().find(|policy| policy.name == name);
            Ok((found.unwrap().generation, number(listed.as_of)))
        }
        Question::Status => {
            let request = v1::StatusRequest {
                of: Some(Of::Policy(v1::PolicyVersion {
                    name,
                    generation: 0,
                })),
                at_least: edit.revision,
                ..Default::default()
            };
            let status = acks.get_status(request).await?.into_inner();
            Ok((status.policies[0].generation, number(status.as_of)))
        }
    }
}

async fn edit(hub: &Hub, number: usize) -> (String, v1::EditResponse) {
    let name = format!("p{}", number % 20);
    let request = v1::ApplyRequest {
        manifest: policy(&name, &format!("group-{number}")).to_string(),
        ..Default::default()
    };
    let answer = hub.policies(0).apply(request).await.unwrap().into_inner();
    (name, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_publisher_committed_another_never_answers_older() {
    const EDITS: usize = 1_000;
    let mut hub = Hub::start_without_publishers(WRIT, Size::of(1, 2)).await;
    let proxy = Proxy::start(hub.server_address(0)).await;
    hub.lead_through(1, proxy.address());
    hub.start_publisher(0).await;
    hub.start_publisher(1).await;
    for number in 0..EDITS {
        // In turn: its follower is cut off, its whole process stands still, nothing is wrong.
        match number % 3 {
            0 => proxy.hold(),
            1 => hub.publisher(1).pause().await,
            _ => {}
        }
        let (name, made) = edit(&hub, number).await;
        let question = QUESTIONS[number % QUESTIONS.len()];
        let asked = ask(&hub, question, name, &made);
        let goes_on = async {
            // Long enough that it is asked before it may know.
            sleep(Duration::from_micros(rand::random_range(500..4_000))).await;
            proxy.release();
            hub.publisher(1).resume().await;
        };
        let (answer, ()) = tokio::join!(asked, goes_on);
        let (generation, revision) =
            answer.unwrap_or_else(|status| panic!("edit {number}, {question:?}: {status}"));
        let wanted = (made.generation, made.revision.unwrap().number);
        assert!(
            generation == wanted.0 && revision >= wanted.1,
            "edit {number}, {question:?}: {generation} as of {revision}, wanted {wanted:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_get_there_is_unavailable() {
    let mut hub = Hub::start_without_publishers(WRIT, Size::of(1, 2)).await;
    let proxy = Proxy::start(hub.server_address(0)).await;
    hub.lead_through(1, proxy.address());
    hub.start_publisher(0).await;
    hub.start_publisher(1).await;
    edit(&hub, 0).await;
    proxy.hold();
    let (name, made) = edit(&hub, 20).await;
    let hub = &hub;
    let asked = QUESTIONS.map(|question| {
        let (name, made) = (name.clone(), made.clone());
        async move { (question, ask(hub, question, name, &made).await) }
    });
    for (question, answer) in futures::future::join_all(asked).await {
        assert_eq!(
            answer.unwrap_err().code(),
            Code::Unavailable,
            "{question:?}"
        );
    }
    proxy.release();
    for question in QUESTIONS {
        let answer = ask(hub, question, name.clone(), &made).await.unwrap();
        assert_eq!(answer, (2, 2), "{question:?}");
    }
}

/// What a client asks of an edit that it just saw committed elsewhere: each is only right for whoever
/// knows that edit.
#[derive(Debug, Clone, Copy)]
enum Follow {
    /// The next edit, from the generation that was answered.
    FromItsGeneration,
    /// The content before it again, which is a change now.
    BackToTheContentBefore,
    /// Its deletion, checked first as the command line does.
    DeletionInTwoSteps,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_not_judged_by_an_older_log_than_its_client_has_seen() {
    const EDITS: usize = 60;
    let mut hub = Hub::start_without_publishers(WRIT, Size::of(1, 2)).await;
    let proxy = Proxy::start(hub.server_address(0)).await;
    hub.lead_through(1, proxy.address());
    hub.start_publisher(0).await;
    hub.start_publisher(1).await;
    let request = |name: &str, group: &str, base| v1::ApplyRequest {
        manifest: policy(name, group).to_string(),
        base_generation: base,
        ..Default::default()
    };
    for number in 0..EDITS {
        let name = format!("p{number}");
        let (mut first, mut second) = (hub.policies(0), hub.policies(1));
        first
            .apply(request(&name, "before", Some(0)))
            .await
            .unwrap();
        ask(
            &hub,
            Question::Get,
            name.clone(),
            &edit_of(&hub, &name).await,
        )
        .await
        .unwrap();
        proxy.hold();
        let made = first
            .apply(request(&name, "after", Some(1)))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(made.generation, 2);
        let follow = [
            Follow::FromItsGeneration,
            Follow::BackToTheContentBefore,
            Follow::DeletionInTwoSteps,
        ][number % 3];
        let asked = async {
            match follow {
                Follow::FromItsGeneration => second.apply(request(&name, "third", Some(2))).await,
                Follow::BackToTheContentBefore => {
                    second.apply(request(&name, "before", None)).await
                }
                Follow::DeletionInTwoSteps => {
                    let mut request = v1::DeleteRequest {
                        name: name.clone(),
                        base_generation: Some(2),
                        dry_run: true,
                        ..Default::default()
                    };
                    second.delete(request.clone()).await?;
                    request.dry_run = false;
                    second.delete(request).await
                }
            }
        };
        let released = async {
            sleep(Duration::from_micros(rand::random_range(500..4_000))).await;
            proxy.release();
        };
        let (answer, ()) = tokio::join!(asked, released);
        let answer = answer.unwrap_or_else(|status| panic!("{number}, {follow:?}: {status}"));
        let answer = answer.into_inner();
        assert_eq!(
            (answer.generation, answer.unchanged),
            (3, false),
            "{number}, {follow:?}"
        );
    }
}

/// The last edit of a name, as the first publisher tells it.
async fn edit_of(hub: &Hub, name: &str) -> v1::EditResponse {
    let request = v1::GetRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    let policy = hub
        .policies(0)
        .get(request)
        .await
        .unwrap()
        .into_inner()
        .policy
        .unwrap();
    v1::EditResponse {
        generation: policy.generation,
        revision: policy.revision,
        ..Default::default()
    }
}
