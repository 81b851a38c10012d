//! Who may be connected: how many at once, and not with a certificate that was revoked.

use std::io::ErrorKind;

use tokio::net::TcpStream;
use tonic::Status;
use writ_proto::v1::{self, identity_service_client::IdentityServiceClient};

use crate::fleet::{Fleet, Line, until};

/// As many as there may be, and some.
const CONNECTIONS: usize = 1_024 + 100;

async fn who_am_i(line: Line) -> Result<v1::WhoAmIResponse, Status> {
    let mut client = IdentityServiceClient::new(line);
    let answer = client.who_am_i(v1::WhoAmIRequest {}).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_revoked_opens_no_connection_and_the_list_is_read_again() {
    let mut fleet = Fleet::start_bus().await;
    let robot = fleet.api.user("robot", None).unwrap();
    let other = fleet.api.user("other", None).unwrap();
    let list = fleet.api.revoke(1, &[]).unwrap();
    fleet
        .further_args
        .push(format!("--client-crl-file={}", list.display()));
    fleet.start_publisher().await;
    for user in [&robot, &other] {
        who_am_i(fleet.channel_of(user, None)).await.unwrap();
    }

    fleet.api.revoke(2, &["robot"]).unwrap();
    until("the list is read again", async || {
        who_am_i(fleet.channel_of(&robot, None)).await.err()
    })
    .await;
    who_am_i(fleet.channel_of(&other, None)).await.unwrap();
    // Nor is it made up for by anything else that is sent.
    let status = who_am_i(fleet.channel_of(&robot, Some("abc"))).await;
    status.unwrap_err();

    // A list that is none leaves the one before in force.
    std::fs::write(&list, "nothing of the kind").unwrap();
    until("the file is found to be none", async || {
        let other = who_am_i(fleet.channel_of(&other, None)).await;
        other.expect("it goes on");
        fleet
            .log()
            .contains("goes on with its old certificate")
            .then_some(())
    })
    .await;
    who_am_i(fleet.channel_of(&robot, None)).await.unwrap_err();

    // A later one lets it in again.
    fleet.api.revoke(3, &["other"]).unwrap();
    until("the next list is read", async || {
        who_am_i(fleet.channel_of(&robot, None)).await.ok()
    })
    .await;
    who_am_i(fleet.channel_of(&other, None)).await.unwrap_err();
}

fn is_closed(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_there_may_be_are_refused_and_places_come_free_again() {
    let fleet = Fleet::start().await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(TcpStream::connect(fleet.address()).await.unwrap());
    }
    // Those that got no place are closed at once; the others only after the time for a handshake.
    until("those that came last are refused", async || {
        let refused = held[CONNECTIONS - 100..].iter().filter(|of| is_closed(of));
        (refused.count() >= 50).then_some(())
    })
    .await;
    assert!(
        fleet
            .log()
            .contains("a connection is refused: there are 1024")
    );
    until("who says nothing is gone, and others come in", async || {
        let administrator = fleet.api.administrator("");
        who_am_i(fleet.channel_of(&administrator, None)).await.ok()
    })
    .await;
    drop(held);
}
