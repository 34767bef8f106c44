//! Three etcd members on loopback, which may come and go.
//!
//! They are Debian's `etcd-server`, driven by its `etcdctl`, with an election timeout of half a second so that the loss
//! of a leader is over quickly.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use super::papers::Papers;
use crate::cluster::{ClusterOptions, PortBlock, wait_for};

/// Members of the cluster; two of them are a quorum.
const MEMBERS: u16 = 3;

/// Until a started cluster must answer. Only a failing start waits so long.
const START_WITHIN: Duration = Duration::from_secs(30);

/// What guarded members ask for.
const PASSWORD: &str = "correct horse battery";

/// How long etcdctl waits for an answer.
const ANSWER_WITHIN: &str = "3s";

/// A running etcd cluster. Dropping it ends its members and removes their data.
pub struct Etcd {
    members: Vec<Member>,
    /// How clients are served: in the open, or over TLS.
    papers: Option<Papers>,
    /// The file with the password of the user `root`, once every request needs it.
    password: Option<PathBuf>,
    dir: TempDir,
    _ports: PortBlock,
}

struct Member {
    name: String,
    client: String,
    peer: String,
    child: Mutex<Option<Child>>,
}

impl Member {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Etcd {
    /// Starts three members and waits until they serve. Errors when etcd is not installed or does not come up.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(false)
    }

    /// As [`Etcd::start`], over TLS and with a password.
    pub fn start_guarded() -> anyhow::Result<Self> {
        let mut etcd = Self::start_with(true)?;
        let password = etcd.dir.path().join("password");
        std::fs::write(&password, format!("{PASSWORD}\n"))?;
        std::fs::set_permissions(&password, Permissions::from_mode(0o600))?;
        etcd.ctl(&["user", "add", &format!("root:{PASSWORD}")])?;
        etcd.ctl(&["user", "grant-role", "root", "root"])?;
        etcd.ctl(&["auth", "enable"])?;
        etcd.password = Some(password);
        etcd.wait_until_serving()?;
        Ok(etcd)
    }

    fn start_with(tls: bool) -> anyhow::Result<Self> {
        let ports = PortBlock::reserve(2 * MEMBERS)?;
        let url = |scheme: &str, offset: u16| {
            format!("{scheme}://127.0.0.1:{}", ports.base().saturating_add(offset))
        };
        let members = (1..=MEMBERS)
            .map(|number| Member {
                name: format!("member-{number}"),
                client: url(if tls { "https" } else { "http" }, number),
                peer: url("http", MEMBERS.saturating_add(number)),
                child: Mutex::default(),
            })
            .collect();
        let dir = tempfile::Builder::new().prefix("mpc-wallet-etcd-").tempdir()?;
        let papers = tls.then(|| Papers::issue(dir.path())).transpose()?;
        let etcd = Self { members, papers, password: None, dir, _ports: ports };
        for member in 1..=MEMBERS {
            etcd.start_member(member)?;
        }
        etcd.wait_until_serving()?;
        Ok(etcd)
    }

    /// Client URLs of all members, comma-separated, as `MPC_WALLET_ETCD_ENDPOINTS` and etcdctl take them.
    pub fn endpoints(&self) -> String {
        self.members.iter().map(|member| member.client.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Starts a member that is not running, on the data it left. Returns at once.
    pub fn start_member(&self, number: u16) -> anyhow::Result<()> {
        let member = self.member(number)?;
        let mut child = member.child();
        anyhow::ensure!(child.is_none(), "{} is running", member.name);
        let peers: Vec<String> =
            self.members.iter().map(|member| format!("{}={}", member.name, member.peer)).collect();
        let log = self.open_log(&member.name)?;
        let mut command = Command::new("etcd");
        if let Some(papers) = &self.papers {
            command.arg("--cert-file").arg(&papers.certificate).arg("--key-file").arg(&papers.key);
        }
        let started = command
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(self.dir.path().join(&member.name))
            .args(["--listen-client-urls", &member.client, "--advertise-client-urls", &member.client])
            .args(["--listen-peer-urls", &member.peer, "--initial-advertise-peer-urls", &member.peer])
            .args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        *child = Some(started.context("cannot start etcd; install Debian's etcd-server")?);
        Ok(())
    }

    /// Waits until a quorum answers.
    pub fn wait_until_serving(&self) -> anyhow::Result<()> {
        wait_for("etcd to serve", START_WITHIN, || self.ctl(&["get", "nothing"]).map(|_| ()))
    }

    /// Ends a member as a power cut would: SIGKILL. Does nothing if it is not running.
    pub fn kill(&self, number: u16) -> anyhow::Result<()> {
        let child = self.member(number)?.child().take();
        if let Some(mut child) = child {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Ends all members and removes their data, as if somebody had set etcd up anew.
    pub fn wipe(&self) -> anyhow::Result<()> {
        for (number, member) in (1..).zip(&self.members) {
            self.kill(number)?;
            let data = self.dir.path().join(&member.name);
            std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        }
        Ok(())
    }

    /// Number of the member that leads, among those that run.
    pub fn leader(&self) -> anyhow::Result<u16> {
        for (number, member) in (1..).zip(&self.members) {
            if member.child().is_none() {
                continue;
            }
            let status = self.ctl_at(&member.client, &["endpoint", "status"])?;
            // Fields: endpoint, id, version, size, is leader, …
            if status.split(", ").nth(4) == Some("true") {
                return Ok(number);
            }
        }
        anyhow::bail!("no member leads")
    }

    /// What etcdctl prints. Errors with its complaint when it fails.
    pub fn ctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.ctl_at(&self.endpoints(), arguments)
    }

    fn ctl_at(&self, endpoints: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", endpoints]);
        command.args(["--command-timeout", ANSWER_WITHIN, "--dial-timeout", ANSWER_WITHIN]);
        if let Some(papers) = &self.papers {
            command.arg("--cacert").arg(&papers.ca);
        }
        if self.password.is_some() {
            command.args(["--user", &format!("root:{PASSWORD}")]);
        }
        let output =
            command.args(arguments).output().context("cannot run etcdctl; install Debian's etcd-client")?;
        anyhow::ensure!(
            output.status.success(),
            "etcdctl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The value of a key; `None` if there is none.
    pub fn get(&self, key: &str) -> anyhow::Result<Option<String>> {
        let value = self.ctl(&["get", "--print-value-only", key])?;
        Ok((!value.is_empty()).then(|| value.trim_end().to_owned()))
    }

    /// The value of a key, read as JSON. Errors when there is none.
    pub fn get_json(&self, key: &str) -> anyhow::Result<serde_json::Value> {
        let value = self.get(key)?.with_context(|| format!("there is no {key}"))?;
        serde_json::from_str(&value).with_context(|| format!("{key} holds {value}"))
    }

    /// Writes a key, bound to no lease, as anybody with access can.
    pub fn put(&self, key: &str, value: &str) -> anyhow::Result<()> {
        self.ctl(&["put", key, value]).map(|_| ())
    }

    fn member(&self, number: u16) -> anyhow::Result<&Member> {
        let index = usize::from(number).checked_sub(1);
        index
            .and_then(|index| self.members.get(index))
            .with_context(|| format!("there is no member {number}"))
    }

    fn open_log(&self, name: &str) -> anyhow::Result<File> {
        let path = self.dir.path().join(format!("{name}.log"));
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for number in 1..=MEMBERS {
            // A process that cannot be killed has ended.
            let _ = self.kill(number);
        }
    }
}

impl ClusterOptions {
    /// Gives every node this etcd, with a lease so short that tests need not wait long for its end.
    #[must_use]
    pub fn with_etcd(self, etcd: &Etcd) -> Self {
        let mut options = self.set("etcd", "endpoints", etcd.endpoints());
        options = options.set("etcd", "lease_ttl_s", 3).set("etcd", "request_timeout_ms", 500);
        if let Some(papers) = &etcd.papers {
            options = options.set("etcd", "ca", papers.ca.display());
        }
        if let Some(password) = &etcd.password {
            options = options.set("etcd", "user", "root").set("etcd", "password_file", password.display());
        }
        options
    }
}
