//! Creating and checking the streams.

use writ_bus::{
    connection::{Action, Error as BusError},
    streams::{self, Error, Settings, Stream},
};

use crate::harness::{Bus, SETTINGS};

#[tokio::test]
async fn installing_twice_is_the_same_as_once() {
    let bus = Bus::start_without_streams().await;
    let installer = bus.installer().await;
    let missing = streams::check(&bus.publisher().await, SETTINGS)
        .await
        .unwrap_err();
    assert!(matches!(missing, Error::Missing(Stream::Log)), "{missing}");
    streams::install(&installer, SETTINGS).await.unwrap();
    streams::install(&installer, SETTINGS).await.unwrap();
    streams::check(&bus.publisher().await, SETTINGS)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stream_that_is_set_otherwise_is_left_alone_and_its_fields_are_named() {
    let bus = Bus::start().await;
    let other = Settings {
        log_bytes_max: SETTINGS.log_bytes_max + 1,
        ..SETTINGS
    };
    let error = streams::install(&bus.installer().await, other)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the stream WRIT is set otherwise: max_bytes is 67108864, not 67108865"
    );
    streams::check(&bus.publisher().await, SETTINGS)
        .await
        .unwrap();
}

#[tokio::test]
async fn only_the_installer_creates_streams() {
    let bus = Bus::start_without_streams().await;
    let error = streams::install(&bus.publisher().await, SETTINGS)
        .await
        .unwrap_err();
    let Error::Request {
        action: "create",
        source: BusError::Denied(denied),
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(denied.action, Action::Publish);
    assert_eq!(denied.subject, "$JS.API.STREAM.CREATE.WRIT");
}
