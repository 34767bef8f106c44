//! PostgreSQL on loopback: Debian's programs, a port and a data directory of its own, every login by password.
//!
//! It refuses to run as root: then it runs as the system's user `postgres`, whom the Debian package makes.

use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use postgres::{Client, NoTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::cluster::{PortBlock, wait_for};

/// Until it takes connections; after a crash it replays its log first.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Until an orderly end, which does not wait for clients, is over.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// User and database of the nodes.
const NAME: &str = "mpc_wallet";
/// Of a server that lives for one test, on loopback.
const PASSWORD: &str = "only-for-tests";
/// Where Debian installs each major version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A server, which may come and go. Dropping it ends it and removes its data.
pub struct Postgres {
    programs: PathBuf,
    // Declared before the folder: it is gone before its data are.
    server: Mutex<Option<Server>>,
    folder: TempDir,
    user: Option<(u32, u32)>,
    ports: PortBlock,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        // SIGQUIT ends all its processes at once; what does not obey is killed.
        let _ = signal(&self.0, "QUIT");
        let ended =
            wait_for("PostgreSQL to end", STOP_WITHIN, || self.0.try_wait()?.context("it is still running"));
        if ended.is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

impl Postgres {
    /// Makes a database cluster with an empty database for the nodes and starts the server. Errors when PostgreSQL is not
    /// installed, or does not come up; the text says what to do.
    pub fn start() -> anyhow::Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("mpc-wallet-postgres-").tempdir()?;
        let user = unprivileged(folder.path())?;
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        let server = Self { programs, server: Mutex::default(), folder, user, ports: PortBlock::reserve(1)? };
        server.initialise()?;
        server.resume()?;
        server.admin_in("postgres")?.batch_execute(&format!("CREATE DATABASE {NAME}"))?;
        Ok(server)
    }

    /// As [`Postgres::start`], with a certificate for 127.0.0.1; returns the PEM of its authority, too. Logins without TLS are
    /// still taken.
    pub fn start_with_tls() -> anyhow::Result<(Self, String)> {
        let server = Self::start()?;
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = authority.self_signed(&authority_key)?.pem();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?
            .signed_by(&key, &Issuer::new(authority, authority_key))?;
        server.stop()?;
        for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
            let path = server.data().join(name);
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            if let Some((uid, gid)) = server.user {
                chown(&path, Some(uid), Some(gid))?;
            }
        }
        let mut settings = OpenOptions::new().append(true).open(server.data().join("postgresql.conf"))?;
        settings.write_all(b"ssl = on\n")?;
        server.resume()?;
        Ok((server, pem))
    }

    /// What a node's `[postgres] url` says: no password in it.
    pub fn url(&self) -> String {
        format!("postgres://{NAME}@127.0.0.1:{}/{NAME}", self.port())
    }

    /// The password of the nodes' user.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Everything in one: for psql and for the comparer.
    pub fn url_with_password(&self) -> String {
        format!("postgres://{NAME}:{PASSWORD}@127.0.0.1:{}/{NAME}", self.port())
    }

    /// Runs a command in psql and returns what it prints: unaligned rows without headings. Errors with what psql said.
    pub fn psql(&self, command: &str) -> anyhow::Result<String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", command])
            .arg(self.url_with_password())
            .output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    /// As [`Postgres::psql`], with variables that the script may use.
    pub fn psql_with(&self, script: &str, variables: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"])
            .arg(self.url_with_password());
        for (name, value) in variables {
            command.arg("-v").arg(format!("{name}={value}"));
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("psql takes no input")?.write_all(script.as_bytes())?;
        let output = child.wait_with_output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A connection as the database's superuser, who may do anything. Errors while the server is away.
    pub fn admin(&self) -> anyhow::Result<Client> {
        self.admin_in(NAME)
    }

    fn admin_in(&self, database: &str) -> anyhow::Result<Client> {
        let url = format!("postgres://{NAME}:{PASSWORD}@127.0.0.1:{}/{database}", self.port());
        Ok(Client::connect(&url, NoTls)?)
    }

    fn port(&self) -> u16 {
        self.ports.base().saturating_add(1)
    }

    fn initialise(&self) -> anyhow::Result<()> {
        let password = self.folder.path().join("password");
        let mut file = OpenOptions::new().create_new(true).write(true).open(&password)?;
        file.write_all(PASSWORD.as_bytes())?;
        std::fs::set_permissions(&password, Permissions::from_mode(0o644))?;
        let output = self
            .command("initdb")
            .args(["--auth", "scram-sha-256", "--username", NAME, "--encoding", "UTF8", "--locale", "C"])
            .arg("--pwfile")
            .arg(&password)
            .arg("--pgdata")
            .arg(self.data())
            .output()
            .context("cannot run initdb")?;
        anyhow::ensure!(
            output.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Starts the server on its data, after whatever end, and waits until it takes connections.
    pub fn resume(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.server().is_none(), "PostgreSQL is running");
        wait_for("PostgreSQL to start", START_WITHIN, || {
            // After a kill the last of the old server's processes must be gone before another may start.
            let log = OpenOptions::new().create(true).append(true).open(self.log())?;
            let mut child = self
                .command("postgres")
                .arg("-D")
                .arg(self.data())
                .args(["-p", &self.port().to_string()])
                .arg("-k")
                .arg(self.folder.path())
                .args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60"])
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()?;
            loop {
                if let Some(status) = child.try_wait()? {
                    anyhow::bail!("it ended with {status}; {}", self.last_words());
                }
                if self.admin_in("postgres").is_ok() {
                    *self.server() = Some(Server(child));
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    }

    /// Ends the server in order, without waiting for its clients.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.end("INT")
    }

    /// Ends the server as a crash of it would: SIGKILL to its first process, whereupon the others end, too.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.end("KILL")
    }

    fn end(&self, how: &str) -> anyhow::Result<()> {
        let mut server = self.server().take().context("PostgreSQL is not running")?;
        signal(&server.0, how)?;
        wait_for("PostgreSQL to end", STOP_WITHIN, || server.0.try_wait()?.context("it is still running"))?;
        wait_for("its port to be closed", STOP_WITHIN, || {
            let open = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())).is_ok();
            anyhow::ensure!(!open, "it still takes connections");
            Ok(())
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("; ")
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest PostgreSQL that is installed.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs): &(u32, PathBuf)| programs.join("initdb").exists())
        .collect();
    found.sort_unstable();
    let (_, programs) = found
        .pop()
        .with_context(|| format!("there is no PostgreSQL in {VERSIONS}: apt-get install postgresql"))?;
    Ok(programs)
}

/// User and group that PostgreSQL runs as, if it cannot run as ours.
fn unprivileged(own: &Path) -> anyhow::Result<Option<(u32, u32)>> {
    use std::os::unix::fs::MetadataExt as _;
    if std::fs::metadata(own)?.uid() != 0 {
        return Ok(None);
    }
    let id = |what: &str| -> anyhow::Result<u32> {
        let output = Command::new("id").args([what, "postgres"]).output()?;
        anyhow::ensure!(output.status.success(), "there is no user postgres: apt-get install postgresql");
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    Ok(Some((id("-u")?, id("-g")?)))
}

/// Through the shell's own `kill`: the program of that name is missing on small systems.
fn signal(child: &Child, name: &str) -> anyhow::Result<()> {
    let pid = child.id().to_string();
    let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status()?;
    anyhow::ensure!(status.success(), "cannot send SIG{name} to PostgreSQL");
    Ok(())
}
