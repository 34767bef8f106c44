//! Keys of a node's API: the file on its machine.

use std::path::Path;

use mpc_wallet_shell::access::{AccessError, ApiKey, KeyFile, Role};
use serde_json::json;
use time::OffsetDateTime;

use crate::{
    args::{KeyCommand, Output},
    failure::{Exit, Failure},
    output::{note, print, rows, text},
};

pub(crate) fn run(command: KeyCommand, output: Output) -> Result<(), Failure> {
    match command {
        KeyCommand::Create { file, name, role } => create(&file, &name, role, output),
        KeyCommand::Revoke { file, name } => revoke(&file, &name, output),
        KeyCommand::List { file } => list(&file, output),
    }
}

fn create(path: &Path, name: &str, role: Role, output: Output) -> Result<(), Failure> {
    let mut file = KeyFile::read_or_new(path).map_err(|error| failed(&error))?;
    let token = file.create(name, role, OffsetDateTime::now_utc()).map_err(|error| failed(&error))?;
    file.write(path).map_err(|error| failed(&error))?;
    note("give it to its holder now; it is kept nowhere and not shown again");
    let document = json!({ "name": name, "role": role.name(), "api_key": token.reveal() });
    print(&document, output, |document| text(document, "/api_key"))
}

fn revoke(path: &Path, name: &str, output: Output) -> Result<(), Failure> {
    let mut file = KeyFile::read(path).map_err(|error| failed(&error))?;
    let revoked = file.revoke(name).map_err(|error| failed(&error))?;
    file.write(path).map_err(|error| failed(&error))?;
    note("the node refuses it within seconds, as its log then says; revoke it at every node that has it");
    let document = json!({ "name": revoked.name, "role": revoked.role.name(), "revoked": true });
    print(&document, output, |document| format!("{} revoked", text(document, "/name")))
}

fn list(path: &Path, output: Output) -> Result<(), Failure> {
    let file = KeyFile::read(path).map_err(|error| failed(&error))?;
    let key =
        |key: &ApiKey| json!({ "name": key.name, "role": key.role.name(), "created_at": key.created_at });
    let document = json!({ "keys": file.keys().iter().map(key).collect::<Vec<_>>() });
    print(&document, output, |_| {
        let row = |key: &ApiKey| [key.name.clone(), key.role.name().to_owned(), key.created_at.clone()];
        rows(["name", "role", "created"], file.keys().iter().map(row))
    })
}

fn failed(error: &AccessError) -> Failure {
    let exit = match error {
        AccessError::NameTaken(_) => Exit::Conflict,
        AccessError::Unknown(_) => Exit::NotFound,
        AccessError::Io { .. }
        | AccessError::Permissions { .. }
        | AccessError::Form { .. }
        | AccessError::Name(_) => Exit::Usage,
        AccessError::Randomness(_) => Exit::Unexpected,
    };
    Failure::new(exit, "key_file", error.to_string())
}
