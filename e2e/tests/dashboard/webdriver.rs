//! The few commands of the W3C WebDriver protocol that the suite needs, and two of chromedriver's own.
//!
//! Written out because the libraries cost more than they save here: thirtyfour switches serde_json's `preserve_order` on,
//! and with it the order of every JSON object that the workspace's tests see; fantoccini rests on a crate under MPL-2.0,
//! which `deny.toml` does not allow.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

/// A command waits for a page to load, among other things.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Key of an element's reference, by the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A chromedriver of our own, and the session with its browser.
pub(crate) struct WebDriver {
    process: Child,
    agent: ureq::Agent,
    session: String,
}

impl WebDriver {
    /// Starts chromedriver on a port of its choice and a browser with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromedriver; install Debian's chromium-driver")?;
        let said = process.stdout.take().context("chromedriver has no output")?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .proxy(None)
            .build();
        let mut driver = Self { process, agent: config.into(), session: String::new() };
        let root = format!("http://127.0.0.1:{}/session", port_in(said)?);
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        driver.session.clone_from(&root);
        let made = driver.post("", &wanted)?;
        let id = made.get("sessionId").and_then(Value::as_str).context("the session has no id")?;
        driver.session = format!("{root}/{id}");
        Ok(driver)
    }

    /// Loads an address and waits until it has.
    pub(crate) fn go(&self, address: &str) -> anyhow::Result<()> {
        self.post("/url", &json!({ "url": address })).map(|_| ())
    }

    /// The path of the first element that matches.
    pub(crate) fn find(&self, css: &str) -> anyhow::Result<String> {
        let found = self.post("/element", &json!({ "using": "css selector", "value": css }))?;
        let id = found.get(ELEMENT).and_then(Value::as_str).context("no reference to an element")?;
        Ok(format!("/element/{id}"))
    }

    /// Posts a command and returns its value. Errors when the browser refuses it.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.session));
        value_of(request.header("content-type", "application/json").send(body.to_string().as_bytes())?)
    }

    /// Asks for a value.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        value_of(self.agent.get(format!("{}{path}", self.session)).call()?)
    }

    /// Has the browser do something that the protocol has no word for (Chrome DevTools Protocol).
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> anyhow::Result<Value> {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Takes what a log has gathered since the last time: `browser` or `performance`.
    pub(crate) fn log(&self, name: &str) -> anyhow::Result<Vec<Value>> {
        let entries = self.post("/se/log", &json!({ "type": name }))?;
        Ok(entries.as_array().cloned().unwrap_or_default())
    }
}

impl Drop for WebDriver {
    fn drop(&mut self) {
        // Ends the browser. If it does not answer any more, its end is that of its driver.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What an answer says: a value, or an error in words.
fn value_of(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<Value> {
    let mut answer: Value = response.body_mut().with_config().limit(64 << 20).read_json()?;
    let value = answer.get_mut("value").map(Value::take).unwrap_or_default();
    match value.get("error").and_then(Value::as_str) {
        Some(error) => {
            let message = value.get("message").and_then(Value::as_str).unwrap_or_default();
            anyhow::bail!("{error}: {}", message.lines().next().unwrap_or_default())
        }
        None => Ok(value),
    }
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
