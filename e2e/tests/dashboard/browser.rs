//! A real Chromium without a window, driven through chromedriver.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use mpc_wallet_e2e::cluster::wait_for;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{
    By, ChromiumLikeCapabilities as _, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver, WebElement,
};
use tokio::runtime::{Builder, Runtime};

/// Until a page shows what it is to show; a processor shared with five nodes is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with an empty profile, and what its pages have asked for and complained about.
pub(crate) struct Browser {
    driver: WebDriver,
    runtime: Runtime,
    process: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts chromedriver on a port of its choice, and a browser behind it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromedriver; install Debian's chromium-driver")?;
        let said = process.stdout.take().context("chromedriver has no output")?;
        let port = port_in(said)?;
        let profile = TempDir::new()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let capabilities = capabilities(&profile)?;
        let driver = runtime.block_on(WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities))?;
        Ok(Self { driver, runtime, process, _profile: profile })
    }

    /// Opens a page of a node's dashboard, from nothing.
    pub(crate) fn open(&self, node: &str, hash: &str) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            self.driver.goto("about:blank").await?;
            self.driver.goto(format!("{node}/{hash}")).await
        })?;
        Ok(())
    }

    /// Shows pages at a width in CSS pixels, to a system that prefers `theme`.
    pub(crate) fn look(&self, width: u32, theme: &str) -> anyhow::Result<()> {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.runtime.block_on(async {
            self.driver.cdp().send_raw("Emulation.setDeviceMetricsOverride", size).await?;
            self.driver.cdp().send_raw("Emulation.setEmulatedMedia", media).await
        })?;
        Ok(())
    }

    /// What a function body returns in the page.
    pub(crate) fn ask(&self, script: &str) -> anyhow::Result<Value> {
        let answer = self.runtime.block_on(self.driver.execute(script, Vec::new()))?;
        Ok(answer.json().clone())
    }

    /// Waits until the text of an element meets `test`, and returns it.
    pub(crate) fn wait_text(&self, css: &str, test: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        wait_for(&format!("the text of {css}"), PATIENCE, || {
            let text = self.runtime.block_on(async { self.element(css).await?.text().await })?;
            anyhow::ensure!(test(&text), "it is {text:?}");
            Ok(text)
        })
    }

    /// Waits until there is such an element.
    pub(crate) fn wait(&self, css: &str) -> anyhow::Result<()> {
        wait_for(css, PATIENCE, || Ok(self.runtime.block_on(self.element(css)).map(|_| ())?))
    }

    /// Clicks as soon as it can be clicked.
    pub(crate) fn click(&self, css: &str) -> anyhow::Result<()> {
        wait_for(&format!("{css} to be clicked"), PATIENCE, || {
            Ok(self.runtime.block_on(async { self.element(css).await?.click().await })?)
        })
    }

    /// Writes into a field, instead of what is there.
    pub(crate) fn fill(&self, css: &str, text: &str) -> anyhow::Result<()> {
        wait_for(&format!("{css} to be filled"), PATIENCE, || {
            self.runtime.block_on(async {
                let field = self.element(css).await?;
                field.clear().await?;
                field.send_keys(text).await
            })?;
            Ok(())
        })
    }

    /// Errors on the console since the last call. Refused requests are among them, for that is how browsers see it.
    pub(crate) fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.runtime.block_on(self.driver.get_log("browser"))?;
        let severe = entries.into_iter().filter(|entry| entry.level == "SEVERE" || entry.level == "WARNING");
        Ok(severe.map(|entry| entry.message).collect())
    }

    /// Addresses asked for over the network since the last call.
    pub(crate) fn requests(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.runtime.block_on(self.driver.get_log("performance"))?;
        let mut addresses = Vec::new();
        for entry in entries {
            let event: Value = serde_json::from_str(&entry.message)?;
            if event["message"]["method"] == "Network.requestWillBeSent" {
                let address = event["message"]["params"]["request"]["url"].as_str().unwrap_or_default();
                addresses.push(address.to_owned());
            }
        }
        Ok(addresses)
    }

    async fn element(&self, css: &str) -> thirtyfour::error::WebDriverResult<WebElement> {
        self.driver.find(By::Css(css)).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; if that fails, its end is that of its driver.
        let _ = self.runtime.block_on(self.driver.clone().quit());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn capabilities(profile: &TempDir) -> anyhow::Result<thirtyfour::ChromeCapabilities> {
    let mut wanted = DesiredCapabilities::chrome();
    let profile = format!("--user-data-dir={}", profile.path().display());
    for flag in [
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
        &profile,
    ] {
        wanted.add_arg(flag)?;
    }
    wanted.set_logging_prefs("browser", LoggingPrefsLogLevel::All)?;
    wanted.set_logging_prefs("performance", LoggingPrefsLogLevel::All)?;
    Ok(wanted)
}

/// Reads the port from what chromedriver says first.
fn port_in(said: impl Read) -> anyhow::Result<u16> {
    for line in BufReader::new(said).lines() {
        let line = line?;
        if let Some((_, rest)) = line.split_once("started successfully on port ") {
            return Ok(rest.trim_end_matches('.').parse()?);
        }
    }
    anyhow::bail!("chromedriver ended without naming its port")
}
