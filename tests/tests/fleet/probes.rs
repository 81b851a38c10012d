//! What a kubelet would ask of the applied Deployment, asked of its process. The sandbox has no kubelet: it runs the
//! process, on a free port, and probes nothing.

use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::Stdio,
};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Container, Probe},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::Api;
use tokio::process::Command;
use writ_tests::http::{self, Page};

use crate::harness::{Shared, run, wait_for};

async fn container(fleet: &Shared, cluster: &str) -> Container {
    let api = Api::<Deployment>::namespaced(fleet.client(cluster), "writ-system");
    let applied = api.get("writ-subscriber").await.unwrap();
    let spec = applied.spec.unwrap().template.spec.unwrap();
    spec.containers.into_iter().next().unwrap()
}

/// The path of a probe, which must be of the port that the process is told to listen on.
fn path_of(probe: Option<&Probe>, container: &Container) -> String {
    let asked = probe.unwrap().http_get.as_ref().unwrap();
    let IntOrString::String(name) = &asked.port else {
        panic!("{:?} is no name", asked.port);
    };
    let mut ports = container.ports.iter().flatten();
    let port = ports.find(|port| port.name.as_ref() == Some(name)).unwrap();
    let listens = format!("--admin-addr=0.0.0.0:{}", port.container_port);
    assert!(container.args.iter().flatten().any(|arg| *arg == listens));
    asked.path.clone().unwrap()
}

async fn ask(file: &Path, path: &str) -> Option<Page> {
    let address = std::fs::read_to_string(file).ok()?;
    let address: SocketAddr = address.trim().parse().ok()?;
    Some(http::get(reached(address), path).await)
}

/// Where somebody on this machine reaches what listens on all its addresses.
fn reached(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::from(([127, 0, 0, 1], address.port())),
        false => address,
    }
}

/// As others reach it, where this machine has an address for them. Nothing is sent.
fn from_outside(file: &Path) -> Option<SocketAddr> {
    let address = std::fs::read_to_string(file).unwrap();
    let address: SocketAddr = address.trim().parse().unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback()).then_some(SocketAddr::new(own, address.port()))
}

/// The arguments of a cluster's subscriber, as the system has them.
fn arguments(dir: &Path, cluster: &str) -> Vec<String> {
    let own = format!("--cluster={cluster}");
    let file = dir.join("clusters").join(cluster).join("admin");
    let file = format!("--admin-address-file={}", file.display());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines =
        processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    let mut lines = lines.map(|line| line.split_terminator('\0').map(str::to_owned).collect());
    lines
        .find(|line: &Vec<String>| line.contains(&own) && line.contains(&file))
        .unwrap()
        .split_off(1)
}

#[test]
fn the_probes_of_the_applied_deployment_are_answered_and_who_stands_by_is_ready() {
    run(async |fleet| {
        let cluster = &fleet.join().await;
        let container = container(fleet, cluster).await;
        let live = path_of(container.liveness_probe.as_ref(), &container);
        let ready = path_of(container.readiness_probe.as_ref(), &container);
        let active = fleet.dir.join("clusters").join(cluster).join("admin");
        for path in [&live, &ready] {
            let page = ask(&active, path).await.unwrap();
            assert_eq!((page.status, page.body.as_str()), (200, "ok\n"), "{path}");
        }

        // The Deployment's second replica.
        let folder = tempfile::tempdir().unwrap();
        let second = folder.path().join("admin");
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let arguments = arguments(&fleet.dir, cluster).into_iter();
        let arguments = arguments.map(|argument| match argument.split_once('=') {
            Some((name @ "--identity", _)) => format!("{name}=second"),
            // As in a pod, to which others have a way.
            Some((name @ "--admin-addr", _)) => format!("{name}=0.0.0.0:0"),
            Some((name @ "--admin-address-file", _)) => format!("{name}={}", second.display()),
            _ => argument,
        });
        let mut standby = Command::new(env!("CARGO_BIN_EXE_writ-under-test"))
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = |what: &str| {
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
            log.contains(what).then_some(())
        };
        wait_for("the second one stands by", async || said("standing by")).await;
        for path in [&live, &ready] {
            let page = ask(&second, path).await.unwrap();
            assert_eq!((page.status, page.body.as_str()), (200, "ok\n"), "{path}");
        }
        // It is not what it is ready for.
        assert!(said("following the log").is_none());
        match from_outside(&second) {
            Some(outside) => {
                for path in [live.as_str(), ready.as_str(), "/metrics"] {
                    assert_eq!(http::get(outside, path).await.status, 200, "{path}");
                }
                let read = http::get(outside, "/debug/log").await;
                let written = http::put(outside, "/debug/log", "trace").await;
                let state = http::get(outside, "/debug/state").await;
                for page in [read, written, state] {
                    assert_eq!(page.status, 403, "{}", page.body);
                }
            }
            None => eprintln!("this machine has no address for others: their way was not tried"),
        }
        let log = ask(&second, "/debug/log").await.unwrap();
        assert!(!log.body.contains("trace"), "{}", log.body);

        let name = cluster.parse().unwrap();
        fleet
            .fleet
            .lock()
            .await
            .kill_subscriber(&name)
            .await
            .unwrap();
        wait_for("the second one takes over", async || {
            said("following the log")
        })
        .await;
        wait_for("it is ready as the active one", async || {
            let page = ask(&second, &ready).await?;
            (page.status == 200).then_some(())
        })
        .await;
        standby.kill().await.unwrap();
    });
}
