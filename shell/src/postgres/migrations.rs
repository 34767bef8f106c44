//! The schema: numbered SQL files, run by whichever node comes first.

use mpc_wallet_core::Cluster;
use tokio_postgres::Client;
use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};

use super::{Teller, fault::Fault};
use crate::config::network_name;

mod files {
    refinery::embed_migrations!("migrations");
}

/// Of the session-level lock under which one node migrates while the others wait.
const LOCK: i64 = 7_885_050_123_020;

/// The schema's version that this software makes.
pub(super) fn newest() -> i32 {
    files::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0)
}

/// Brings the schema up to date, makes the database this cluster's and lists the members.
///
/// # Errors
/// [`Fault::Refused`] if the database belongs to another cluster or its schema is newer than this software.
pub(super) async fn prepare(client: &mut Client, teller: &Teller) -> Result<(), Fault> {
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let prepared = prepare_locked(client, teller).await;
    // If this fails the session has ended, and the lock with it.
    let _ = client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
    prepared
}

async fn prepare_locked(client: &mut Client, teller: &Teller) -> Result<(), Fault> {
    // The library tells each step to the log, at every start; what was done is told below.
    let runner = files::migrations::runner();
    let run = runner.run_async(client).with_subscriber(NoSubscriber::default()).await;
    let report = run.map_err(|error| migrating(&error))?;
    for migration in report.applied_migrations() {
        tracing::info!(version = migration.version(), name = migration.name(), "PostgreSQL schema migrated");
    }
    claim(client, &teller.cluster).await?;
    for member in teller.cluster.members() {
        client
            .execute(
                "INSERT INTO node_status (node_id) VALUES ($1) ON CONFLICT (node_id) DO NOTHING",
                &[&i32::from(member.get())],
            )
            .await?;
    }
    Ok(())
}

fn migrating(error: &refinery::Error) -> Fault {
    use std::error::Error as _;
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(told) = inner.downcast_ref::<tokio_postgres::Error>() {
            let text = told.as_db_error().map_or_else(|| told.to_string(), |told| told.message().to_owned());
            return if told.as_db_error().is_some() {
                Fault::Refused(format!(
                    "the schema cannot be migrated: {text}; let the node's user own an empty database"
                ))
            } else {
                Fault::Away(text)
            };
        }
        cause = inner.source();
    }
    Fault::Refused(format!(
        "the schema cannot be migrated: {error}; run the newest version of the software that wrote it"
    ))
}

/// The first node to come says whose database it is.
async fn claim(client: &Client, cluster: &Cluster) -> Result<(), Fault> {
    let ours = cluster.id().to_string();
    let (total, threshold) = (i32::from(cluster.total()), i32::from(cluster.threshold()));
    client
        .execute(
            "INSERT INTO cluster (cluster_id, network, total_nodes, threshold) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            &[&ours, &network_name(cluster.network()), &total, &threshold],
        )
        .await?;
    let found: String = client.query_one("SELECT cluster_id FROM cluster", &[]).await?.try_get(0)?;
    if found == ours {
        Ok(())
    } else {
        Err(Fault::Refused(format!(
            "the database is the record of cluster {found}, not of {ours}; give each cluster a database of its own"
        )))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mpc_wallet_core::{tx::State, vote::Violation};

    const SCHEMA: &str = include_str!("../../migrations/V1__record.sql");

    #[test]
    fn the_database_knows_exactly_the_moves_of_the_lifecycle() {
        let (_, table) = SCHEMA.split_once("IN (VALUES").unwrap();
        let (table, _) = table.split_once("$$;").unwrap();
        for from in State::ALL {
            for to in State::ALL {
                let pair = format!("('{}', '{}')", from.name(), to.name());
                assert_eq!(table.contains(&pair), from.may_become(to), "{pair}");
            }
        }
    }

    #[test]
    fn the_database_has_our_names_in_our_order() {
        let names = |type_name: &str| -> Vec<String> {
            let (_, rest) = SCHEMA.split_once(&format!("CREATE TYPE {type_name} AS ENUM (")).unwrap();
            let (list, _) = rest.split_once(')').unwrap();
            list.split(',').map(|name| name.trim().trim_matches('\'').to_owned()).collect()
        };
        assert_eq!(names("transaction_state"), State::ALL.map(State::name));
        let violations = [
            Violation::DoubleVote,
            Violation::InvalidSignature,
            Violation::Timeout,
            Violation::ProtocolViolation,
        ];
        assert_eq!(names("violation_type"), violations.map(Violation::name));
        assert_eq!(names("node_state"), ["online", "offline", "degraded", "banned"]);
    }
}
