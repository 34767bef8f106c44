//! The audit chain of the cluster's record, verified without a node and without the database.

use std::{fs::File, io::BufReader, path::Path};

use mpc_wallet_shell::postgres::audit;
use serde_json::json;

use crate::{
    args::Output,
    failure::{Exit, Failure},
    output::{pairs, print, text},
};

pub(crate) fn verify(file: &Path, head: Option<&str>, output: Output) -> Result<(), Failure> {
    let export = File::open(file)
        .map_err(|error| Failure::new(Exit::Usage, "no_export", format!("{}: {error}", file.display())))?;
    let chain = audit::verify(BufReader::new(export))
        .map_err(|error| Failure::new(Exit::Refused, "audit_chain_broken", error.to_string()))?;
    if let Some(head) = head
        && !chain.contains(head)
    {
        let told = format!(
            "no row has the hash {head}: rows were cut off, or the whole chain was written anew; it has {} rows now",
            chain.rows
        );
        return Err(Failure::new(Exit::Refused, "audit_chain_broken", told));
    }
    let document = json!({ "rows": chain.rows, "head": chain.head });
    print(&document, output, |document| {
        pairs([("rows", text(document, "/rows")), ("head", text(document, "/head"))])
    })
}
