//! A real Chromium without a window, as somebody who looks at pages uses it.

use std::time::Duration;

use mpc_wallet_e2e::cluster::wait_for;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::webdriver::WebDriver;

/// Until a page shows what it is to show; a processor shared with five nodes is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with an empty profile, and what its pages have asked for and complained about.
pub(crate) struct Browser {
    driver: WebDriver,
    _profile: TempDir,
}

impl Browser {
    /// Starts it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let profile = TempDir::new()?;
        let folder = format!("--user-data-dir={}", profile.path().display());
        let driver = WebDriver::start(&[
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &folder,
        ])?;
        Ok(Self { driver, _profile: profile })
    }

    /// Opens a page of a node's dashboard, from nothing.
    pub(crate) fn open(&self, node: &str, hash: &str) -> anyhow::Result<()> {
        self.driver.go("about:blank")?;
        self.driver.go(&format!("{node}/{hash}"))
    }

    /// Shows pages at a width in CSS pixels, to a system that prefers `theme`.
    pub(crate) fn look(&self, width: u32, theme: &str) -> anyhow::Result<()> {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.driver.devtools("Emulation.setDeviceMetricsOverride", &size)?;
        self.driver.devtools("Emulation.setEmulatedMedia", &media)?;
        Ok(())
    }

    /// What a function body returns in the page.
    pub(crate) fn ask(&self, script: &str) -> anyhow::Result<Value> {
        self.driver.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until the text of an element meets `test`.
    pub(crate) fn wait_text(&self, css: &str, test: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        wait_for(&format!("the text of {css}"), PATIENCE, || {
            let text = self.driver.get(&format!("{}/text", self.driver.find(css)?))?;
            anyhow::ensure!(text.as_str().is_some_and(&test), "it is {text}");
            Ok(())
        })
    }

    /// Waits until there is such an element.
    pub(crate) fn wait(&self, css: &str) -> anyhow::Result<()> {
        wait_for(css, PATIENCE, || self.driver.find(css).map(|_| ()))
    }

    /// Waits until a function body returns true in the page.
    pub(crate) fn wait_until(&self, script: &str) -> anyhow::Result<()> {
        wait_for(script, PATIENCE, || {
            let answer = self.ask(script)?;
            anyhow::ensure!(answer == true, "it is {answer}");
            Ok(())
        })
    }

    /// Clicks as soon as it can be clicked.
    pub(crate) fn click(&self, css: &str) -> anyhow::Result<()> {
        wait_for(&format!("{css} to be clicked"), PATIENCE, || {
            self.driver.post(&format!("{}/click", self.driver.find(css)?), &json!({})).map(|_| ())
        })
    }

    /// Writes into a field, instead of what is there.
    pub(crate) fn fill(&self, css: &str, text: &str) -> anyhow::Result<()> {
        wait_for(&format!("{css} to be filled"), PATIENCE, || {
            let field = self.driver.find(css)?;
            self.driver.post(&format!("{field}/clear"), &json!({}))?;
            self.driver.post(&format!("{field}/value"), &json!({ "text": text })).map(|_| ())
        })
    }

    /// Errors and warnings on the console since the last call. Refused requests are among them, for that is how
    /// browsers see it.
    pub(crate) fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.driver.log("browser")?;
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        Ok(severe.map(|entry| entry["message"].to_string()).collect())
    }

    /// Has every page from now on run a script before anything of its own.
    pub(crate) fn before_each_page(&self, script: &str) -> anyhow::Result<()> {
        let source = json!({ "source": script });
        self.driver.devtools("Page.addScriptToEvaluateOnNewDocument", &source).map(|_| ())
    }

    /// Addresses asked for over the network since the last call of this or [`Self::sent`].
    pub(crate) fn requests(&self) -> anyhow::Result<Vec<String>> {
        let asked = self.asked()?;
        Ok(asked.iter().filter_map(|request| Some(request["url"].as_str()?.to_owned())).collect())
    }

    /// What was sent as a header with each request of a path since the last call of this or [`Self::requests`]; empty
    /// without it.
    pub(crate) fn sent(&self, path: &str, header: &str) -> anyhow::Result<Vec<String>> {
        let asked = self.asked()?;
        let of_path =
            asked.iter().filter(|request| request["url"].as_str().is_some_and(|url| url.ends_with(path)));
        let value = |request: &Value| request["headers"][header].as_str().unwrap_or_default().to_owned();
        Ok(of_path.map(value).collect())
    }

    /// Requests over the network since the last call.
    fn asked(&self) -> anyhow::Result<Vec<Value>> {
        let mut requests = Vec::new();
        for entry in self.driver.log("performance")? {
            let event: Value = serde_json::from_str(entry["message"].as_str().unwrap_or_default())?;
            if event["message"]["method"] == "Network.requestWillBeSent" {
                let request = &event["message"]["params"]["request"];
                let address = request["url"].as_str().unwrap_or_default();
                // The browser's own pages are made of addresses, too: chrome://.
                if address.starts_with("http") || address.starts_with("ws") {
                    requests.push(request.clone());
                }
            }
        }
        Ok(requests)
    }
}
