//! A real Chromium, driven through chromedriver. Nothing of it outlives the test.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::python::python;

/// The longest anything that must happen may take: a slow machine with two cores, much else on them.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a page is looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How pages are looked at: width, height, colour scheme.
const VIEWS: [(u32, u32, &str); 4] =
    [(1280, 900, "light"), (1280, 900, "dark"), (390, 844, "light"), (390, 844, "dark")];

pub struct Browser {
    pub client: Client,
    driver: Child,
    profile: TempDir,
    origin: String,
}

/// A command that fantoccini has no word for.
#[derive(Debug)]
struct Raw(&'static str, Value);

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    /// A fresh one, for pages of this origin; no other host can be reached.
    pub async fn start(origin: &str) -> Self {
        Self::with(origin, true).await
    }

    /// One in which no script runs.
    pub async fn without_scripts(origin: &str) -> Self {
        Self::with(origin, false).await
    }

    async fn with(origin: &str, scripts: bool) -> Self {
        let profile = tempfile::tempdir().expect("a temp dir");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is installed: ./tests/run does it");
        let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let listening = async {
            loop {
                let line = lines.next_line().await.expect("a line").expect("it goes on");
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    return port.trim_end_matches('.').to_owned();
                }
            }
        };
        let port = tokio::time::timeout(PATIENCE, listening).await.expect("chromedriver listens");
        let folder = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-sync",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            &folder,
        ];
        let content = if scripts { 1 } else { 2 };
        let capabilities = json!({
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": { "profile.managed_default_content_settings.javascript": content },
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let capabilities = capabilities.as_object().expect("an object").clone();
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        let client = ClientBuilder::new(connector)
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        Self { client, driver, profile, origin: origin.trim_end_matches('/').to_owned() }
    }

    pub async fn goto(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.origin)).await.expect("a page");
    }

    /// The path somebody is at.
    pub async fn path(&self) -> String {
        self.client.current_url().await.expect("an address").path().to_owned()
    }

    /// The first element there is like this, once there is.
    pub async fn find(&self, css: &str) -> fantoccini::elements::Element {
        let found =
            self.client.wait().at_most(PATIENCE).every(LOOK_EVERY).for_element(Locator::Css(css)).await;
        match found {
            Ok(found) => found,
            Err(error) => panic!("no {css} at {}: {error}\n{}", self.path().await, self.words().await),
        }
    }

    pub async fn has(&self, css: &str) -> bool {
        !self.client.find_all(Locator::Css(css)).await.expect("an answer").is_empty()
    }

    pub async fn click(&self, css: &str) {
        let began = tokio::time::Instant::now();
        while let Err(error) = self.find(css).await.click().await {
            // It was replaced by a fresh one between being found and being clicked.
            let is_gone = error.to_string().contains("stale element");
            assert!(is_gone && began.elapsed() < PATIENCE, "{css} cannot be clicked: {error}");
        }
    }

    /// Follows the link that reads so.
    pub async fn follow(&self, text: &str) {
        let wait = self.client.wait().at_most(PATIENCE).every(LOOK_EVERY);
        let link = wait.for_element(Locator::LinkText(text)).await.expect("a link");
        link.click().await.expect("it leads on");
    }

    pub async fn type_in(&self, css: &str, text: &str) {
        self.find(css).await.send_keys(text).await.expect("it takes text");
    }

    /// Presses a key, wherever the focus is.
    pub async fn press(&self, key: Key) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(&char::from(key).to_string()).await.expect("it takes keys");
    }

    /// Everything there is to read.
    pub async fn words(&self) -> String {
        match self.client.find(Locator::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until `css` reads as `is` wants it.
    pub async fn when(&self, css: &str, is: impl Fn(&str) -> bool) -> String {
        let began = tokio::time::Instant::now();
        loop {
            // An element may be replaced between being found and being read.
            let text = match self.client.find(Locator::Css(css)).await {
                Ok(found) => found.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if is(&text) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "{css} still reads {text:?}\n{}", self.words().await);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("the script runs")
    }

    pub async fn sign_in(&self, token: &str) {
        self.type_in("#token", token).await;
        self.click("form button").await;
        self.find(".who").await;
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.client.issue_cmd(Raw("goog/cdp/execute", body)).await.expect("devtools")
    }

    /// Looks at the page wide and narrow, light and dark: axe finds nothing, nothing overflows, and a picture is kept.
    pub async fn look_over(&self, name: &str) {
        for (width, height, scheme) in VIEWS {
            let metrics =
                json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
            self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
            let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
            self.picture(&format!("{name}-{width}-{scheme}"), width).await;
            let wide = self.run("return document.documentElement.scrollWidth").await;
            assert!(wide.as_f64().expect("a number") <= f64::from(width), "{name} is {wide} wide at {width}");
            let found = self.axe().await;
            assert_eq!(found, json!([]), "{name} at {width}, {scheme}");
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [] })).await;
    }

    async fn picture(&self, name: &str, width: u32) {
        let height = self.run("return Math.min(document.documentElement.scrollHeight, 6000)").await;
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let shot = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let shot = self.devtools("Page.captureScreenshot", shot).await;
        let shot = shot["data"].as_str().expect("a picture");
        let shot = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, shot).expect("base64");
        let folder = pictures();
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), shot).expect("a file");
    }

    /// What axe finds: rule, and where.
    async fn axe(&self) -> Value {
        if self.run("return typeof axe").await == "undefined" {
            let source = std::fs::read_to_string(axe_path()).expect("axe");
            self.devtools("Runtime.evaluate", json!({ "expression": source })).await;
        }
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'], iframes: false }).then(
              (found) => done(found.violations.map((rule) => [rule.id, rule.nodes.map((node) => node.html + ' | ' + node.failureSummary)])),
              (error) => done(String(error)));";
        self.client.execute_async(script, Vec::new()).await.expect("axe runs")
    }

    /// That the console holds no complaint, other than those that hold one of these words, and that nothing was fetched
    /// from elsewhere by the page that is shown.
    pub async fn is_clean(&self, expected: &[&str]) {
        let log = self.client.issue_cmd(Raw("se/log", json!({ "type": "browser" }))).await.expect("a log");
        let complaints: Vec<&Value> = log
            .as_array()
            .expect("a list")
            .iter()
            .filter(|line| {
                let message = line["message"].as_str().unwrap_or_default();
                line["level"] != "INFO"
                    && line["level"] != "DEBUG"
                    && !expected.iter().any(|word| message.contains(word))
            })
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        let fetched =
            self.run("return performance.getEntriesByType('resource').map((entry) => entry.name)").await;
        for address in fetched.as_array().expect("a list") {
            assert!(address.as_str().expect("an address").starts_with(&self.origin), "{address}");
        }
    }

    /// Closes it.
    pub async fn close(mut self) {
        self.client.clone().close().await.expect("it closes");
        self.driver.kill().await.expect("the driver ends");
    }
}

impl Drop for Browser {
    /// Where a test failed: whatever was started with this test's profile.
    fn drop(&mut self) {
        let _ = self.driver.start_kill();
        let mine = self.profile.path().as_os_str().as_encoded_bytes();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if command.windows(mine.len()).any(|part| part == mine)
                && let Some(id) = entry.file_name().to_str().filter(|id| id.parse::<u32>().is_ok())
            {
                let _ = std::process::Command::new("kill").args(["-9", id]).stderr(Stdio::null()).status();
            }
        }
    }
}

/// Where pictures are kept: beside the build.
fn pictures() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.ancestors().nth(3).expect("tests lie in debug/deps of the target folder").join("pages")
}

/// The axe of the tests' virtual environment.
fn axe_path() -> PathBuf {
    let home = python().parent().and_then(Path::parent).expect("bin/python").join("lib");
    let versions = std::fs::read_dir(home).expect("the virtual environment").flatten();
    let mut axe =
        versions.map(|version| version.path().join("site-packages/axe_playwright_python/axe.min.js"));
    axe.find(|axe| axe.exists()).expect("axe is missing: ./tests/run installs it")
}
