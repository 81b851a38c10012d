//! Nothing outlives a sandbox, not even one that was killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use writ_sandbox::bus::Bus;
use writ_sandbox::identity::BusKeys;
use writ_sandbox::kubernetes::Kubernetes;
use writ_sandbox::parts::Parts;
use writ_sandbox::process::Launcher;
use writ_sandbox::progress::Progress;

/// Names the state folder to the process that is killed.
const FOLDER_VARIABLE: &str = "WRIT_TEST_FOLDER";

/// Written there when everything runs.
const READY_FILE: &str = "all-started";

/// nats-server, etcd, kube-apiserver and kube-controller-manager.
const CHILDREN: usize = 4;

/// For a machine that does much else; an idle one needs a tenth.
const LIMIT: Duration = Duration::from_secs(180);

/// Not a test of its own: what the tests below start in another process, and kill.
#[tokio::test]
#[ignore = "runs until it is killed"]
async fn holds_a_cluster_and_a_bus() {
    let folder = std::env::var_os(FOLDER_VARIABLE).expect("started by a test");
    let folder = Path::new(&folder);
    let launcher = Launcher::new(env!("CARGO_BIN_EXE_writ-exec").into());
    let parts = Parts::find(&Progress::stderr()).await.unwrap();
    let keys = BusKeys::generate(&[]).unwrap();
    let bus = Bus::start(&launcher, &parts, folder, &keys);
    let bus = bus.await.unwrap();
    let kubernetes = Kubernetes::start(&launcher, &parts, folder).await.unwrap();
    let cluster = kubernetes.cluster("eu-prod-1", 1).await.unwrap();
    std::fs::write(folder.join(READY_FILE), cluster.name()).unwrap();
    std::future::pending::<()>().await;
    drop((bus, kubernetes));
}

#[test]
fn killing_the_sandbox_ends_all_of_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = start(folder.path());
    until("all started", &mut holder, |_| {
        folder.path().join(READY_FILE).is_file()
    });
    assert_eq!(
        children(folder.path()).len(),
        CHILDREN,
        "{:?}",
        children(folder.path())
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    let begun = Instant::now();
    while !children(folder.path()).is_empty() {
        assert!(
            begun.elapsed() < LIMIT,
            "left: {:?}",
            children(folder.path())
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    eprintln!("all gone {:?} after the kill", begun.elapsed());
}

#[test]
fn a_sandbox_that_is_killed_while_it_starts_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = start(folder.path());
    until("the first child", &mut holder, |_| {
        !children(folder.path()).is_empty()
    });
    holder.kill().unwrap();
    holder.wait().unwrap();
    let begun = Instant::now();
    while !children(folder.path()).is_empty() {
        assert!(
            begun.elapsed() < LIMIT,
            "left: {:?}",
            children(folder.path())
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "holds_a_cluster_and_a_bus",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER_VARIABLE, folder)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

fn until(what: &str, holder: &mut Child, check: impl Fn(&Child) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !check(holder) {
        assert!(holder.try_wait().unwrap().is_none(), "ended before: {what}");
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The command lines that name the folder; every child's does.
fn children(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains(folder))
        .map(|line| line.replace('\0', " ").chars().take(100).collect())
        .collect()
}
