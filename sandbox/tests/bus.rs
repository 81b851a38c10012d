//! The real nats-server with the configuration of `writ-bus`.

use writ_bus::config::{ClusterUser, PublicKey};
use writ_bus::connection::FirstConnect;
use writ_core::name::{ClusterName, Region, Stage};
use writ_sandbox::bus::Bus;
use writ_sandbox::parts::{Part, Parts};
use writ_sandbox::process::Launcher;
use writ_sandbox::progress::Progress;

#[tokio::test]
async fn a_cluster_is_admitted_while_the_bus_runs() {
    let folder = tempfile::tempdir().unwrap();
    let launcher = Launcher::new(env!("CARGO_BIN_EXE_writ-exec").into());
    let parts = Parts::find_some(&[Part::NatsServer], &Progress::stderr())
        .await
        .unwrap();
    let bus = Bus::start(
        &launcher,
        &parts,
        folder.path(),
        Vec::new(),
        Vec::new(),
        &[],
    )
    .await
    .unwrap();

    let key = nkeys::KeyPair::new_user();
    let (name, region) = (
        ClusterName::parse("eu-prod-1").unwrap(),
        Region::parse("eu").unwrap(),
    );
    let connect = || {
        writ_bus::connect(writ_bus::Options {
            url: bus.url().to_owned(),
            seed: key.seed().unwrap(),
            inbox: writ_bus::accounts::cluster_inbox(&region, &name),
            name: name.to_string(),
            first_connect: FirstConnect::Now,
        })
    };
    assert!(connect().await.is_err(), "a stranger is refused");
    let user = ClusterUser {
        name: name.clone(),
        region: region.clone(),
        stage: Stage::parse("prod").unwrap(),
        key: PublicKey::parse(&key.public_key()).unwrap(),
    };
    bus.admit(user).await.unwrap();
    assert!(connect().await.unwrap().is_connected());
    bus.stop().await;
    assert!(connect().await.is_err(), "the server has ended");
}
