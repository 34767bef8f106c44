//! The servers that a node depends on, asked from this machine: the chain backend, PostgreSQL, etcd.

use mpc_wallet_core::Timestamp;
use mpc_wallet_shell::{
    config::{EtcdSettings, PostgresSettings, Settings, network_name},
    esplora::{ConnectError, Esplora, EsploraConfig},
    etcd, postgres,
    units::now,
};

use super::{Check, span};

/// Bitcoin's own rule: no block may be so far ahead of the clock of who checks it.
const BLOCK_AHEAD_S: u64 = 2 * 60 * 60;
/// Between two blocks of ten minutes this hardly ever passes.
const OLD_TIP_S: u64 = 2 * 60 * 60;
/// Votes and proposals carry times; beyond this people should look.
pub(super) const CLOCK_MS: u64 = 1_000;

pub(super) fn check(settings: &Settings, checks: &mut Vec<Check>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            checks.push(Check::fail("servers", format!("cannot be asked: {error}")));
            return;
        }
    };
    runtime.block_on(async {
        chain(settings, checks).await;
        match &settings.postgres {
            Some(postgres) => record(settings, postgres, checks).await,
            None => checks.push(Check::ok("postgres", "not configured: this node keeps no record there")),
        }
        match &settings.etcd {
            Some(etcd) => checks.push(coordination(etcd).await),
            None => checks.push(Check::ok("etcd", "not configured: the lowest live node coordinates")),
        }
    });
}

async fn chain(settings: &Settings, checks: &mut Vec<Check>) {
    const NAME: &str = "chain backend";
    let (url, network) = (settings.chain.esplora.clone(), settings.core.cluster.network());
    let esplora = async {
        let esplora =
            Esplora::connect(EsploraConfig { retries: 0, ..EsploraConfig::new(url) }, network).await?;
        esplora.check_network().await?;
        let tip = esplora.tip().await?;
        Ok::<_, ConnectError>(tip)
    };
    match esplora.await {
        Err(error) => {
            checks.push(Check::fail(NAME, format!("{error}; [chain] esplora names it")));
        }
        Ok((tip, time)) => {
            let told = format!("{} serves {}", settings.chain.esplora, network_name(network));
            checks.push(Check::ok(NAME, told));
            checks.push(tip_age(tip.height, time, now(), network == bitcoin::Network::Regtest));
        }
    }
}

/// What the newest block says of the chain and of this machine's clock; a private chain gets blocks when somebody wants one.
fn tip_age(height: u32, time: u64, now: Timestamp, private: bool) -> Check {
    const NAME: &str = "chain tip";
    let now = now.0 / 1_000;
    let age = now.saturating_sub(time);
    if time.saturating_sub(now) > BLOCK_AHEAD_S {
        let ahead = span(time.saturating_sub(now));
        return Check::fail(
            NAME,
            format!("block {height} is {ahead} in the future: this machine's clock is late, set it (chrony)"),
        );
    }
    let told = format!("block {height}, {} old", span(age));
    if age > OLD_TIP_S && !private {
        Check::warn(NAME, format!("{told}; if other explorers have newer blocks, the backend is stuck"))
    } else {
        Check::ok(NAME, told)
    }
}

async fn record(settings: &Settings, postgres: &PostgresSettings, checks: &mut Vec<Check>) {
    const NAME: &str = "postgres";
    let probe = match postgres::probe(postgres, settings.core.me).await {
        Ok(probe) => probe,
        Err(error) => {
            let detail = format!("{error}; payments go on without it, the record waits");
            checks.push(Check::fail(NAME, detail));
            return;
        }
    };
    let ours = settings.core.cluster.id().to_string();
    checks.push(match &probe.cluster {
        Some(cluster) if *cluster != ours => Check::fail(
            NAME,
            format!(
                "the database is the record of cluster {cluster}; give each cluster a database of its own"
            ),
        ),
        Some(_) | None => Check::ok(NAME, "it answers, and takes this node's user"),
    });
    checks.push(schema(&probe));
    checks.push(clock("postgres clock", "PostgreSQL's", difference(probe.clock, now())));
}

fn schema(probe: &postgres::Probe) -> Check {
    const NAME: &str = "migrations";
    let (found, known) = (probe.schema, probe.known);
    if found > known {
        Check::fail(
            NAME,
            format!("the schema is of version {found}, this software knows {known}; upgrade it"),
        )
    } else if found < known {
        Check::warn(
            NAME,
            format!("the schema is of version {found} of {known}; a node migrates it when it starts"),
        )
    } else {
        Check::ok(NAME, format!("the schema is of version {found}, the newest"))
    }
}

async fn coordination(settings: &EtcdSettings) -> Check {
    judge_members(&etcd::probe(settings).await)
}

fn judge_members(members: &[etcd::Member]) -> Check {
    const NAME: &str = "etcd";
    let leading = members.iter().filter(|member| member.has_leader == Ok(true)).count();
    let silent: Vec<_> = members
        .iter()
        .filter_map(|member| match &member.has_leader {
            Ok(true) => None,
            Ok(false) => Some(format!("{} knows no leader", member.endpoint)),
            Err(reason) => Some(format!("{}: {reason}", member.endpoint)),
        })
        .collect();
    let (all, silent) = (members.len(), silent.join("; "));
    if leading == 0 {
        Check::fail(
            NAME,
            format!("no member has a quorum ({silent}); the lowest live node coordinates meanwhile"),
        )
    } else if leading < all {
        Check::warn(NAME, format!("{leading} of {all} members have a quorum; {silent}"))
    } else {
        Check::ok(NAME, format!("{leading} of {all} members have a quorum"))
    }
}

/// How far one clock is ahead of another, in ms.
pub(super) fn difference(one: Timestamp, other: Timestamp) -> i64 {
    let millis = |moment: Timestamp| i64::try_from(moment.0).unwrap_or(i64::MAX);
    millis(one).saturating_sub(millis(other))
}

/// Judges the clock of `whose`, so many ms ahead of this machine's.
pub(super) fn clock(name: &'static str, whose: &str, ahead_ms: i64) -> Check {
    let off = ahead_ms.unsigned_abs();
    let side = if ahead_ms >= 0 { "ahead of" } else { "behind" };
    let told = format!("{whose} clock is {off} ms {side} this machine's");
    if off > CLOCK_MS {
        Check::warn(name, format!("{told}; set both by NTP (chrony)"))
    } else {
        Check::ok(name, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_block_of_the_future_tells_of_a_late_clock_and_an_old_one_of_a_stuck_backend() {
        let now = Timestamp(1_700_000_000_000);
        let at = |time: u64, private| tip_age(7, time, now, private).verdict;
        for (time, private, verdict) in [
            (1_700_000_000, false, Verdict::Ok),
            (1_700_007_200, false, Verdict::Ok),
            (1_700_007_201, false, Verdict::Fail),
            (1_699_992_799, false, Verdict::Warn),
            (1_600_000_000, true, Verdict::Ok),
        ] {
            assert_eq!(at(time, private), verdict, "{time}");
        }
    }

    #[test]
    fn a_schema_is_judged_by_what_this_software_knows() {
        let of = |schema, known| {
            let clock = Timestamp(0);
            schema_of(&postgres::Probe { schema, known, cluster: None, clock })
        };
        fn schema_of(probe: &postgres::Probe) -> Verdict {
            schema(probe).verdict
        }
        assert_eq!([of(1, 1), of(0, 1), of(2, 1)], [Verdict::Ok, Verdict::Warn, Verdict::Fail]);
    }

    #[test]
    fn etcd_is_well_with_all_members_usable_with_one_and_lost_with_none() {
        let member = |has_leader: &Result<bool, String>| etcd::Member {
            endpoint: "http://127.0.0.1:2379".to_owned(),
            has_leader: has_leader.clone(),
        };
        let (well, cut, gone) = (Ok(true), Ok(false), Err("refused".to_owned()));
        for (members, verdict) in [
            (vec![&well, &well, &well], Verdict::Ok),
            (vec![&well, &well, &gone], Verdict::Warn),
            (vec![&cut, &gone, &gone], Verdict::Fail),
        ] {
            let members: Vec<_> = members.into_iter().map(member).collect();
            assert_eq!(judge_members(&members).verdict, verdict, "{members:?}");
        }
    }

    #[test]
    fn clocks_may_differ_by_a_second() {
        for (ahead, verdict) in
            [(0, Verdict::Ok), (-1_000, Verdict::Ok), (1_001, Verdict::Warn), (i64::MIN, Verdict::Warn)]
        {
            assert_eq!(clock("clock", "its", ahead).verdict, verdict, "{ahead}");
        }
    }
}
