//! `backup create`, `backup verify` and `backup restore`, on the node's machine.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use mpc_wallet_core::Timestamp;
use mpc_wallet_shell::{
    backup::{self, BackupError, Contents, Verified},
    config::Settings,
    journal::OpenError,
    units::rfc3339,
};
use serde_json::{Value, json};

use crate::{
    args::Output,
    failure::{Exit, Failure},
    output::{items, note, pairs, print, text},
};

#[derive(Subcommand)]
pub(crate) enum BackupCommand {
    /// Copy a node's journal, sealed key shares and configuration to a new folder; the node may be running
    ///
    /// Presignatures are never in a backup, and neither is any file that is secret in clear: the key that opens the shares, the
    /// vote key, the certificate's key. Keep those apart; they do not change.
    Create {
        /// Folder to make
        dir: PathBuf,
        /// The node's node.toml
        #[arg(long, env = "MPC_WALLET_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
    /// Verify a backup where it lies: files, journal, and that every key has its share
    Verify {
        /// The backup
        dir: PathBuf,
        /// File of the key that sealed the shares: opens every one of them, too
        #[arg(long, value_name = "FILE")]
        secret_key: Option<PathBuf>,
    },
    /// Make a node's data directory of a backup; refuses to overwrite anything
    ///
    /// The node then finds out from its peers what it has done since, and takes part when it knows. Never start a second node from
    /// the same data: two nodes of one identity contradict each other and are banned.
    Restore {
        /// The backup
        dir: PathBuf,
        /// The node's node.toml; it, the manifest, certificates and keys that it names must be in place
        #[arg(long, env = "MPC_WALLET_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
}

pub(crate) fn run(command: BackupCommand, output: Output) -> Result<(), Failure> {
    match command {
        BackupCommand::Create { dir, config } => create(&dir, &config, output),
        BackupCommand::Verify { dir, secret_key } => {
            let verified = backup::verify(&dir, secret_key.as_deref()).map_err(|error| failed(&error))?;
            if secret_key.is_none() {
                note("no share was opened: --secret-key FILE proves that the key for them is there");
            }
            show(&dir, &verified, output)
        }
        BackupCommand::Restore { dir, config } => restore(&dir, &config, output),
    }
}

fn create(dir: &Path, config: &Path, output: Output) -> Result<(), Failure> {
    let settings = load(config)?;
    let contents = backup::create(&settings, config, dir).map_err(|error| failed(&error))?;
    note(&format!(
        "kept apart, and needed with it: {}, the identity key and the certificate's key",
        settings.secret_key_file.display()
    ));
    print(&document(dir, &contents), output, table)
}

fn restore(dir: &Path, config: &Path, output: Output) -> Result<(), Failure> {
    let settings = load(config)?;
    let verified = backup::restore(dir, &settings).map_err(|error| failed(&error))?;
    note(&format!("{} is made; start the node, it catches up with its peers", settings.data_dir.display()));
    show(dir, &verified, output)
}

fn load(config: &Path) -> Result<Settings, Failure> {
    Settings::load(config).map_err(|errors| Failure::new(Exit::Usage, "configuration", errors.to_string()))
}

fn show(dir: &Path, verified: &Verified, output: Output) -> Result<(), Failure> {
    let mut shown = document(dir, &verified.contents);
    if let Value::Object(members) = &mut shown {
        members.insert("keys".to_owned(), json!(verified.keys));
        members.insert("shares_opened".to_owned(), json!(verified.shares_opened));
    }
    print(&shown, output, table)
}

fn document(dir: &Path, contents: &Contents) -> Value {
    json!({
        "backup": dir.display().to_string(),
        "cluster": contents.cluster,
        "node_id": contents.node,
        "created_at": rfc3339(Timestamp(contents.created_at.saturating_mul(1_000))),
        "journal_position": contents.journal_position,
        "version": contents.version,
        "files": contents.files.len(),
    })
}

fn table(document: &Value) -> String {
    let part = |member: &str| text(document, member);
    let mut rows = vec![
        ("backup", part("/backup")),
        ("of", format!("node-{} of cluster {}", part("/node_id"), part("/cluster"))),
        ("taken", part("/created_at")),
        ("journal", format!("{} records", part("/journal_position"))),
        ("files", part("/files")),
    ];
    if document.get("keys").is_some() {
        let keys: Vec<_> = items(document, "/keys").iter().map(|key| text(key, "")).collect();
        rows.push(("keys", if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }));
        rows.push(("shares opened", part("/shares_opened")));
    }
    pairs(rows)
}

fn failed(error: &BackupError) -> Failure {
    let (exit, code) = match error {
        BackupError::Exists(_) | BackupError::Occupied(_) => (Exit::Conflict, "backup_overwrites"),
        BackupError::Io { .. }
        | BackupError::NoJournal(_)
        | BackupError::Journal(OpenError::Io { .. } | OpenError::Locked { .. })
        | BackupError::Manifest(_)
        | BackupError::NoBackup { .. } => (Exit::Usage, "no_backup"),
        BackupError::Journal(_)
        | BackupError::Replay { .. }
        | BackupError::Secrets(_)
        | BackupError::Damaged { .. }
        | BackupError::Foreign { .. }
        | BackupError::ShareMissing { .. } => (Exit::Refused, "backup_refused"),
    };
    Failure::new(exit, code, error.to_string())
}
