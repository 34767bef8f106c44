//! A Prometheus on loopback that scrapes a cluster with the configuration and the rules that ship with the product.

use std::fmt::Write as _;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{Api, PortBlock, repository, wait_for};

/// Until it must answer. Only a failing start waits so long.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Debian's package, which brings promtool.
const PACKAGE: &str = "install Debian's prometheus";

/// A running Prometheus. Dropping it ends it and removes its data.
pub struct Prometheus {
    child: Child,
    api: Api,
    _dir: TempDir,
    _ports: PortBlock,
}

impl Prometheus {
    /// Starts one that scrapes every second: the shipped configuration, with `targets` in the places of `node-1` and so on.
    /// Errors when it is not installed, refuses the configuration or does not come up.
    pub fn start(targets: &[SocketAddr]) -> anyhow::Result<Self> {
        let ports = PortBlock::reserve(1)?;
        let address = format!("127.0.0.1:{}", ports.base().saturating_add(1));
        let dir = tempfile::Builder::new().prefix("mpc-wallet-prometheus-").tempdir()?;
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, adapted(targets)?)?;
        let log = File::create(dir.path().join("prometheus.log"))?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start prometheus; {PACKAGE}"))?;
        let prometheus = Self { child, api: Api::new(format!("http://{address}")), _dir: dir, _ports: ports };
        wait_for("Prometheus to be ready", START_WITHIN, || {
            let status = prometheus.api.get("/-/ready")?.status;
            anyhow::ensure!(status == 200, "it says {status}");
            Ok(())
        })?;
        Ok(prometheus)
    }

    /// The series that an expression yields now. Errors with Prometheus' complaint when it cannot be evaluated.
    pub fn query(&self, expression: &str) -> anyhow::Result<Vec<Value>> {
        let form = format!("query={}", percent_encoded(expression)?);
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let reply = self.api.post_raw("/api/v1/query", form.as_bytes(), &headers)?;
        anyhow::ensure!(reply.status == 200, "{expression}: {}", reply.text.trim());
        let result = reply.body.pointer("/data/result").and_then(Value::as_array);
        result.cloned().with_context(|| format!("{expression} yields {}", reply.text.trim()))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // A process that cannot be killed has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where configuration, rules and their tests lie.
pub fn shipped() -> PathBuf {
    repository().join("docker/prometheus")
}

/// Runs promtool on something. Errors with what it says when it finds fault.
pub fn promtool(arguments: &[&str], input: Option<&Path>) -> anyhow::Result<()> {
    let input = match input {
        Some(file) => Stdio::from(File::open(file)?),
        None => Stdio::null(),
    };
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(shipped())
        .stdin(input)
        .output()
        .with_context(|| format!("cannot run promtool; {PACKAGE}"))?;
    let said = [output.stdout, output.stderr].concat();
    anyhow::ensure!(
        output.status.success(),
        "promtool {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&said).trim()
    );
    Ok(())
}

/// The shipped configuration with other targets, other files and no patience.
fn adapted(targets: &[SocketAddr]) -> anyhow::Result<String> {
    let shipped = shipped();
    let path = shipped.join("prometheus.yml");
    let mut config = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let rules = shipped.join("rules");
    let mut replace = |from: &str, to: &str| {
        anyhow::ensure!(config.contains(from), "{} has no {from}", path.display());
        config = config.replace(from, to);
        Ok(())
    };
    replace("interval: 15s", "interval: 1s")?;
    replace("rules/", &format!("{}/", rules.display()))?;
    for (number, target) in (1..).zip(targets) {
        replace(&format!("node-{number}:9464"), &target.to_string())?;
    }
    Ok(config)
}

fn percent_encoded(text: &str) -> anyhow::Result<String> {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}")?;
        }
    }
    Ok(encoded)
}
