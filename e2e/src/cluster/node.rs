//! One server process.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use mpc_wallet_byzantine::Deviation;

use super::api::Api;
use super::binary::hostile_binary;
use super::wait::wait_for;

/// One node: its process, which may come and go, its HTTP face and its log.
pub struct NodeProcess {
    id: u16,
    api: Api,
    quic: std::net::SocketAddr,
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    environment: Vec<(String, String)>,
    treason: Mutex<Option<Treason>>,
    child: Mutex<Option<Child>>,
}

/// How a member betrays the others: which program runs on its machine in place of the server.
#[derive(Debug, Clone, Copy)]
pub struct Treason {
    /// In which way it deviates.
    pub deviation: Deviation,
    /// Of its draws.
    pub seed: u64,
    /// How often it is given a chance to deviate in one message; where chance decides, that makes it deviate in nearly all.
    pub tries: u32,
}

impl NodeProcess {
    pub(super) fn new(
        id: u16,
        dir: &Path,
        binary: &Path,
        (rest, quic): (u16, u16),
        environment: Vec<(String, String)>,
    ) -> Self {
        Self {
            id,
            api: Api::new(format!("http://127.0.0.1:{}", rest.saturating_add(id))),
            quic: (std::net::Ipv4Addr::LOCALHOST, quic.saturating_add(id)).into(),
            binary: binary.to_owned(),
            config: dir.join(format!("node-{id}")).join("node.toml"),
            log: dir.join("logs").join(format!("node-{id}.log")),
            environment,
            treason: Mutex::default(),
            child: Mutex::default(),
        }
    }

    /// Its number, from 1.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Its HTTP face.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Base URL of its HTTP face, without a slash at the end.
    pub fn url(&self) -> &str {
        self.api.url()
    }

    /// Where peers connect.
    pub fn quic(&self) -> std::net::SocketAddr {
        self.quic
    }

    /// Its `node.toml`.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Everything it has logged, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into_owned())
    }

    /// How many log lines hold all these words.
    pub fn logged(&self, words: &[&str]) -> usize {
        self.log().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// A command that would run this node: with its configuration, and no other override of it than the cluster's.
    pub fn command(&self) -> Command {
        self.command_of(&self.binary)
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("MPC_WALLET_") {
                command.env_remove(variable);
            }
        }
        command.arg("--config").arg(&self.config).envs(self.environment.iter().cloned()).stdin(Stdio::null());
        command
    }

    /// Starts the process and returns at once. Errors when it runs already.
    pub fn start(&self) -> anyhow::Result<()> {
        let mut child = self.child();
        anyhow::ensure!(child.is_none(), "node {} is running", self.id);
        let log = self.open_log()?;
        let mut command = self.next_command()?;
        let started = command.stdout(log.try_clone()?).stderr(log).spawn();
        *child = Some(started.with_context(|| format!("cannot start {:?}", command.get_program()))?);
        Ok(())
    }

    /// Has the hostile program take this node's place, with its keys and journal, from its next start on.
    pub fn corrupt(&self, treason: Treason) {
        *self.treason.lock().unwrap_or_else(PoisonError::into_inner) = Some(treason);
    }

    fn next_command(&self) -> anyhow::Result<Command> {
        let treason = *self.treason.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Treason { deviation, seed, tries }) = treason else { return Ok(self.command()) };
        let mut command = self.command_of(&hostile_binary()?);
        let deviation = serde_json::to_value(deviation)?;
        command
            .args(["--deviation", deviation.as_str().context("a deviation has a name")?])
            .args(["--seed", &seed.to_string(), "--tries", &tries.to_string(), "--identity"])
            .arg(self.config.with_file_name("identity.key"));
        Ok(command)
    }

    /// Waits until it answers HTTP. Errors at once, with the end of its log, when it has ended.
    pub fn wait_until_up(&self, within: Duration) -> anyhow::Result<()> {
        let ended = wait_for(&format!("node {} to answer", self.id), within, || {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            let status = self.api.get("/health")?.status;
            anyhow::ensure!(status == 200, "GET /health answered {status}");
            Ok(None)
        })?;
        match ended {
            None => Ok(()),
            Some(status) => {
                let log = self.log();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                anyhow::bail!(
                    "node {} ended ({status}): {}",
                    self.id,
                    last.into_iter().rev().collect::<Vec<_>>().join("\n")
                )
            }
        }
    }

    /// Whether a process was started and not ended from here.
    pub fn is_running(&self) -> bool {
        self.child().is_some()
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Ends it as a power cut would: SIGKILL. Does nothing if it is not running.
    pub fn kill9(&self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child().take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for that; kills it when it takes longer.
    pub fn terminate(&self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.signal("TERM")?;
        self.await_end(within)?.with_context(|| format!("node {} is not running", self.id))
    }

    /// Freezes it: it holds its sockets and says nothing.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    /// Sends a signal by name. Errors when it is not running.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid().with_context(|| format!("node {} is not running", self.id))?;
        // The shell's own `kill`: the program of that name is missing on small systems.
        let status =
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).status()?;
        anyhow::ensure!(status.success(), "cannot send SIG{name} to node {}", self.id);
        Ok(())
    }

    /// Waits for the end of a process that was asked to end; `None` if none was running. Errors when it ends with
    /// an error or had to be killed.
    pub(super) fn await_end(&self, within: Duration) -> anyhow::Result<Option<ExitStatus>> {
        if !self.is_running() {
            return Ok(None);
        }
        let waited = wait_for(&format!("node {} to end", self.id), within, || {
            self.ended()?.context("it is still running")
        });
        let Ok(status) = waited else {
            self.kill9()?;
            anyhow::bail!("node {} did not end within {within:?} and was killed", self.id);
        };
        self.child().take();
        anyhow::ensure!(status.success(), "node {} ended with {status}", self.id);
        Ok(Some(status))
    }

    fn ended(&self) -> anyhow::Result<Option<ExitStatus>> {
        let mut child = self.child();
        let child = child.as_mut().with_context(|| format!("node {} was never started", self.id))?;
        Ok(child.try_wait()?)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_log(&self) -> anyhow::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))
    }
}
