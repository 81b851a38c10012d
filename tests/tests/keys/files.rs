//! Key files that lie open.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use tokio::process::Command;
use writ_core::envelope::SigningKey;
use writ_proto::trust::{TrustBundle, to_file};

#[tokio::test]
async fn a_publisher_and_a_subscriber_refuse_key_files_that_others_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, "not for others").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path.display().to_string()
    };
    let (seed, signing) = (file("bus.creds"), file("signing"));
    file("ack.seed");
    let trust = folder.path().join("trust");
    let bundle = TrustBundle::first([SigningKey::from_seed(&[1; 32]).public()]);
    fs::write(&trust, to_file(&bundle, &SigningKey::from_seed(&[2; 32]))).unwrap();
    let trust = trust.display().to_string();
    let dir = folder.path().display().to_string();
    let publisher = [
        "__publisher",
        "--nats-url=nats://127.0.0.1:1",
        &format!("--nats-credentials-file={seed}"),
        &format!("--signing-key-file={signing}"),
        &format!("--trust-file={trust}"),
    ];
    let subscriber = [
        "__subscriber",
        "--cluster=eu-prod-1",
        "--region=eu",
        "--stage=prod",
        "--nats-url=nats://127.0.0.1:1",
        &format!("--keys-dir={dir}"),
        &format!("--trust-file={trust}"),
        &format!("--kubeconfig={dir}/none"),
    ];
    for line in [publisher.as_slice(), subscriber.as_slice()] {
        let output = Command::new(env!("CARGO_BIN_EXE_writ-under-test"))
            .args(line)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(
            said.contains("has mode 0644") && said.contains("chmod 0600"),
            "{said}"
        );
        assert!(!said.contains("not for others"), "{said}");
    }
}
