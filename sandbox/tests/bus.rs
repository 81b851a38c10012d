//! The real nats-server with the configuration of `writ-bus`.

use writ_bus::connection::{FirstConnect, Login};
use writ_core::name::{ClusterName, Region, Stage};
use writ_sandbox::bus::Bus;
use writ_sandbox::identity::BusKeys;
use writ_sandbox::parts::{Part, Parts};
use writ_sandbox::process::Launcher;
use writ_sandbox::progress::Progress;

#[tokio::test]
async fn a_cluster_is_let_in_by_its_token_alone() {
    let folder = tempfile::tempdir().unwrap();
    let launcher = Launcher::new(env!("CARGO_BIN_EXE_writ-exec").into());
    let parts = Parts::find_some(&[Part::NatsServer], &Progress::stderr())
        .await
        .unwrap();
    let keys = BusKeys::generate(&[]).unwrap();
    let bus = Bus::start(&launcher, &parts, folder.path(), &keys);
    let bus = bus.await.unwrap();

    let (name, region) = (
        ClusterName::parse("eu-prod-1").unwrap(),
        Region::parse("eu").unwrap(),
    );
    let stage = Stage::parse("prod").unwrap();
    let connect = |keys: &BusKeys| {
        writ_bus::connect(writ_bus::Options {
            url: bus.url().to_owned(),
            login: Login::of(keys.cluster(&name, &region, &stage).unwrap()),
            inbox: writ_bus::accounts::cluster_inbox(&region, &name),
            name: name.to_string(),
            first_connect: FirstConnect::Now,
        })
    };
    let strange = BusKeys::generate(&[]).unwrap();
    assert!(connect(&strange).await.is_err(), "a stranger is refused");
    assert!(connect(&keys).await.unwrap().is_connected());
    bus.stop().await;
    assert!(connect(&keys).await.is_err(), "the server has ended");
}
