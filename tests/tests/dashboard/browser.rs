//! A headless browser on a page of the dashboard, and what it says of it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use fantoccini::{Client, ClientBuilder, wd::WebDriverCompatibleCommand};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use url::{ParseError, Url};
use writ_tests::wait::within;

use crate::{LIMIT, POLL_PERIOD};

/// The programs, as Debian names them.
const BROWSER: &str = "chromium";
const DRIVER: &str = "chromedriver";

/// The width of a desk's window, and of a telephone's.
pub(crate) const WIDE: u32 = 1280;
const NARROW: u32 = 390;

/// A desk's window and a telephone's, in both palettes.
const LOOKS: [(u32, &str); 4] = [
    (WIDE, "light"),
    (WIDE, "dark"),
    (NARROW, "light"),
    (NARROW, "dark"),
];

/// A browser, which ends with this value.
pub(crate) struct Browser {
    pub(crate) client: Client,
    /// The driver has the browser in a group of its own, and leaves it behind where it is killed itself.
    process: Option<Pid>,
    _driver: Child,
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            // Gone already is as good.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// How much of a square is of which colour.
#[derive(Debug)]
pub(crate) struct Pixels {
    pub(crate) green: u64,
    /// Of the lines of hatching.
    pub(crate) grey: u64,
}

/// Where a program is, or that this test can't be made here.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name));
    let found = found.find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("no {name} on PATH (Debian: apt-get install chromium chromium-driver)")
    })
}

impl Browser {
    pub(crate) async fn start(folder: &Path) -> Browser {
        let log = folder.join("chromedriver.log");
        // It says which port it took.
        let driver = Command::new(program(DRIVER))
            .arg("--port=0")
            .stdout(std::fs::File::create(&log).unwrap())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let port = within(LIMIT, POLL_PERIOD, "the driver listens", async || {
            let said = std::fs::read_to_string(&log).ok()?;
            let rest = said.split("successfully on port ").nth(1)?;
            rest.trim_end().trim_end_matches('.').parse::<u16>().ok()
        })
        .await;
        let capabilities = json!({
            // The authorities of tests are of nobody's list.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {
                "binary": program(BROWSER),
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                    "--hide-scrollbars", format!("--user-data-dir={}", folder.join("browser").display())],
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!()
        };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session");
        let process = client
            .capabilities()
            .map(|all| all["goog:processID"].as_i64());
        let process = process
            .flatten()
            .and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Browser {
            client,
            process: Some(process.expect("the driver says which process it began")),
            _driver: driver,
        }
    }

    /// Ends it.
    pub(crate) async fn close(mut self) {
        self.client.clone().close().await.expect("it ends");
        self.process = None;
    }

    /// What a script answers.
    pub(crate) async fn ask(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// The colours of a square, as it is drawn at the next frame.
    pub(crate) async fn pixels(&self, cluster: &str) -> Pixels {
        let script = r"
            const [cluster, done] = arguments;
            const canvas = document.getElementById('squares');
            requestAnimationFrame(() => requestAnimationFrame(() => {
                const one = canvas.squareOf(cluster), scale = devicePixelRatio;
                const [x, y, size] = [one.x, one.y, one.size].map((all) => Math.round(all * scale));
                const copy = document.createElement('canvas');
                const to = copy.getContext('2d', {willReadFrequently: true});
                to.drawImage(canvas, x, y, size, size, 0, 0, size, size);
                const data = to.getImageData(0, 0, size, size).data;
                let green = 0, grey = 0;
                for (let at = 0; at < data.length; at += 4) {
                    const [r, g, b] = data.slice(at, at + 3);
                    if (g > r + 20 && g > b + 10) green += 1;
                    if (Math.abs(r - g) < 14 && Math.abs(g - b) < 14 && r > 60 && r < 210) grey += 1;
                }
                done({green, grey});
            }));";
        let arguments = vec![json!(cluster)];
        let found = self.client.execute_async(script, arguments).await.unwrap();
        let count = |of: &str| found[of].as_u64().unwrap();
        Pixels {
            green: count("green"),
            grey: count("grey"),
        }
    }

    /// The picture of the map, as it is at the next frame.
    pub(crate) async fn map(&self) -> Value {
        let script = "const done = arguments[0]; \
            requestAnimationFrame(() => requestAnimationFrame(() => done(document.getElementById('squares').toDataURL())))";
        let drawn = self.client.execute_async(script, Vec::new()).await;
        drawn.unwrap()
    }

    pub(crate) async fn waits_for(&self, what: &str, script: &str) {
        within(LIMIT, POLL_PERIOD, what, async || {
            (self.ask(script).await == json!(true)).then_some(())
        })
        .await;
    }

    /// Waits until a script calls back that something holds.
    pub(crate) async fn comes_to(&self, what: &str, script: &str) {
        within(LIMIT, POLL_PERIOD, what, async || {
            let said = self.client.execute_async(script, Vec::new()).await;
            (said.unwrap() == json!(true)).then_some(())
        })
        .await;
    }

    /// What the console holds that is no mere remark: errors, refused contents.
    pub(crate) async fn complaints(&self) -> Vec<Value> {
        let log = Vendor("se/log", json!({"type": "browser"}));
        let lines = self.client.issue_cmd(log).await.unwrap();
        let lines = lines.as_array().cloned().unwrap_or_default();
        let is_bad = |line: &Value| matches!(line["level"].as_str(), Some("SEVERE" | "WARNING"));
        lines.into_iter().filter(is_bad).collect()
    }

    /// As wide as a screen, in a palette.
    pub(crate) async fn look(&self, width: u32, palette: &str) {
        let mobile = width < 600;
        let size = json!({"width": width, "height": if mobile { 844 } else { 900 }, "deviceScaleFactor": 1, "mobile": mobile});
        self.tool("Emulation.setDeviceMetricsOverride", size).await;
        let feature = json!([{"name": "prefers-color-scheme", "value": palette}]);
        self.tool("Emulation.setEmulatedMedia", json!({"features": feature}))
            .await;
    }

    /// Accessibility, as the browser works it out: what can be pressed or filled in and has no name.
    pub(crate) async fn nameless(&self) -> Vec<Value> {
        self.tool("Accessibility.enable", json!({})).await;
        let tree = self.tool("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let wants_name = |node: &Value| {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            let is_ignored = node["ignored"] == json!(true);
            !is_ignored
                && matches!(
                    role,
                    "link"
                        | "button"
                        | "searchbox"
                        | "textbox"
                        | "image"
                        | "columnheader"
                        | "rowheader"
                        | "DisclosureTriangle"
                )
        };
        let has_none = |node: &Value| {
            node["name"]["value"]
                .as_str()
                .is_none_or(|name| name.trim().is_empty())
        };
        nodes
            .into_iter()
            .filter(|node| wants_name(node) && has_none(node))
            .collect()
    }

    /// Asks the browser's own tools.
    async fn tool(&self, command: &'static str, arguments: Value) -> Value {
        let command = Vendor(
            "goog/cdp/execute",
            json!({"cmd": command, "params": arguments}),
        );
        self.client.issue_cmd(command).await.unwrap()
    }

    /// A page in each width and palette: nothing of it is wider than the window. Pictures are kept.
    pub(crate) async fn pictures(&self, name: &str) {
        for (width, palette) in LOOKS {
            self.look(width, palette).await;
            let wider = "return document.documentElement.scrollWidth - innerWidth";
            let wider = self.ask(wider).await;
            assert!(
                wider.as_i64().unwrap() <= 0,
                "{name} is wider than {width}: {wider}"
            );
            self.picture(&format!("{name}-{width}-{palette}")).await;
        }
    }

    /// Keeps a picture of the whole page where `WRIT_SCREENSHOTS` names a folder, for a person to look at.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("WRIT_SCREENSHOTS").map(PathBuf::from) else {
            return;
        };
        let whole = json!({"captureBeyondViewport": true, "format": "png"});
        let taken = self.tool("Page.captureScreenshot", whole).await;
        let bytes = data_encoding::BASE64.decode(taken["data"].as_str().unwrap().as_bytes());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes.unwrap()).unwrap();
    }
}

/// A command that only this browser's driver has.
#[derive(Debug)]
struct Vendor(&'static str, Value);

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.0
        ))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.1.to_string()))
    }
}
