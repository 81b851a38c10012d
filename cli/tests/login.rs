//! `writ login` at an issuer of the test's own, and what is kept of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// What an issuer answers to each form that is posted, in turn.
type Script = Arc<Mutex<Vec<(u16, Value)>>>;

/// An issuer, and the forms that it was sent.
struct Issuer {
    url: String,
    forms: Arc<Mutex<Vec<String>>>,
}

async fn issuer(script: Script) -> Issuer {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let forms: Arc<Mutex<Vec<String>>> = Arc::default();
    let (base, sent) = (url.clone(), Arc::clone(&forms));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, &base, &script, &sent).await;
        }
    });
    Issuer { url, forms }
}

async fn answer(mut stream: TcpStream, base: &str, script: &Script, sent: &Mutex<Vec<String>>) {
    let mut text = String::new();
    let form = loop {
        let mut part = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut part).await else {
            return;
        };
        text.push_str(std::str::from_utf8(&part[..length]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or_default() {
            break body.to_owned();
        }
    };
    let (code, body) = if text.starts_with("GET ") {
        (
            200,
            json!({
                "issuer": base, "token_endpoint": format!("{base}/token"),
                "device_authorization_endpoint": format!("{base}/device"),
            }),
        )
    } else {
        sent.lock().unwrap().push(form);
        script.lock().unwrap().remove(0)
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

async fn writ(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_writ"))
        .args(line.split_whitespace())
        .env("WRIT_CONFIG_DIR", folder)
        .env_remove("WRIT_FLEET")
        .env_remove("WRIT_TOKEN")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

fn kept(folder: &Path) -> Value {
    let path = folder.join("tokens/eu.json");
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn token(expires_s: u64) -> String {
    let claims = BASE64.encode(json!({"exp": expires_s}).to_string());
    format!("e30.{claims}.c2ln")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_waits_for_the_person_is_kept_for_its_owner_alone_and_renewed_when_it_ends() {
    let (soon, later) = (token(1), token(4_102_444_800));
    let script: Script = Arc::new(Mutex::new(vec![
        (
            200,
            json!({
                "device_code": "d+1", "user_code": "AB-CD", "expires_in": 60, "interval": 1,
                "verification_uri": "https://issuer.example/device",
            }),
        ),
        (400, json!({"error": "authorization_pending"})),
        (200, json!({"id_token": soon, "refresh_token": "r1"})),
        (200, json!({"id_token": later})),
    ]));
    let issuer = issuer(Arc::clone(&script)).await;
    let folder = tempfile::tempdir().unwrap();
    let add = format!(
        "fleet add eu --address 127.0.0.1:1 --issuer {} --client-id writ-cli",
        issuer.url
    );
    let added = writ(folder.path(), &add).await;
    assert!(added.status.success(), "{added:?}");
    let ran = writ(folder.path(), "login --offline").await;
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.success(), "{said}");
    assert!(
        said.contains("open https://issuer.example/device and enter the code AB-CD"),
        "{said}"
    );
    assert!(ran.stdout.is_empty() && !said.contains(&soon));
    assert_eq!(kept(folder.path())["token"], soon);

    // It has ended: the next command gets another one before it asks, whatever comes of that.
    writ(folder.path(), "whoami").await;
    let now = kept(folder.path());
    assert_eq!(
        (&now["token"], &now["refreshToken"]),
        (&later.into(), &"r1".into())
    );
    let forms = issuer.forms.lock().unwrap().clone();
    assert!(forms[1].contains("device_code=d%2B1"), "{forms:?}");
    assert!(
        forms[3].contains("grant_type=refresh_token&refresh_token=r1"),
        "{forms:?}"
    );

    let out = writ(folder.path(), "logout").await;
    assert!(out.status.success());
    assert!(!folder.path().join("tokens/eu.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_ends_with_its_reason_and_keeps_nothing() {
    let script: Script = Arc::new(Mutex::new(vec![
        (
            200,
            json!({
                "device_code": "d", "user_code": "AB", "expires_in": 60, "interval": 1,
                "verification_uri": "https://issuer.example/device",
            }),
        ),
        (400, json!({"error": "access_denied"})),
    ]));
    let issuer = issuer(script).await;
    let folder = tempfile::tempdir().unwrap();
    let add = format!(
        "fleet add eu --address 127.0.0.1:1 --issuer {} --client-id c",
        issuer.url
    );
    writ(folder.path(), &add).await;
    let ran = writ(folder.path(), "login --offline").await;
    assert_eq!(ran.status.code(), Some(8), "{ran:?}");
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.contains("access_denied"), "{said}");
    assert!(!folder.path().join("tokens").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_alone_gets_no_credential_of_a_known_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    writ(folder.path(), "fleet add eu --address 127.0.0.1:1").await;
    std::fs::create_dir(folder.path().join("tokens")).unwrap();
    let path = folder.path().join("tokens/eu.json");
    let text = json!({"token": "the-secret", "expiresS": null, "refreshToken": null});
    std::fs::write(&path, text.to_string()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        let reading = stream.read_to_end(&mut heard);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(3), reading).await;
        heard
    });
    let line = format!("--address http://{address} get clusters");
    let asking = tokio::time::timeout(
        std::time::Duration::from_secs(10),
        writ(folder.path(), &line),
    );
    let _ = asking.await;
    let heard = heard.await.unwrap();
    assert!(heard.starts_with(b"PRI * HTTP/2.0"));
    let has_secret = heard.windows(10).any(|part| part == b"the-secret");
    assert!(!has_secret);
}
