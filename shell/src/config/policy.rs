//! The sections that fill the core's own structures: policy, timing, limits.

use std::collections::BTreeSet;

use bitcoin::{Address, Amount, Network, ScriptBuf, address::NetworkUnchecked};
use mpc_wallet_core::{
    Cluster, Limits, Millis, Timing,
    policy::{Approval, Policy},
};

use super::{
    manifest::network_name,
    reader::{Reader, Section},
};
use crate::units::{fee_rate_from_decimal, fee_rate_to_decimal};

const SATS: &str = "a whole number of satoshis, at most 21 million bitcoin";
const FEE_RATE: &str = "a fee rate in sat/vB with at most three decimals, as in 1 or \"1.5\"";

/// Most presignatures of a group that may be configured: members listen to no more than 8192 of one another, and a
/// member belongs to several groups.
const MOST_PRESIGNATURES: usize = 1_000;

/// Satoshis that can exist.
fn parse_sats(text: &str) -> Option<Amount> {
    text.parse().ok().map(Amount::from_sat).filter(|amount| *amount <= Amount::MAX_MONEY)
}

/// `[policy]`: what this node approves. Without a cluster (the manifest was bad) what depends on it stays unchecked.
pub(super) fn read_policy(reader: &mut Reader, cluster: Option<&Cluster>) -> Policy {
    let mut section = reader.section("policy");
    let mut policy = Policy::default();
    let rate = |text: &str| fee_rate_from_decimal(text).ok();
    policy.max_amount = section.optional("max_amount_sats", SATS, parse_sats);
    set(&mut policy.fee_rate_floor, section.optional("min_fee_rate_sat_vb", FEE_RATE, rate));
    set(&mut policy.fee_rate_ceiling, section.optional("max_fee_rate_sat_vb", FEE_RATE, rate));
    set(&mut policy.max_fee, section.optional("max_fee_sats", SATS, parse_sats));
    set(&mut policy.min_output, section.optional("min_output_sats", SATS, parse_sats));
    if policy.fee_rate_floor > policy.fee_rate_ceiling {
        let floor = fee_rate_to_decimal(policy.fee_rate_floor);
        let ceiling = fee_rate_to_decimal(policy.fee_rate_ceiling);
        section.note(
            "min_fee_rate_sat_vb",
            Some(&floor),
            format!("exceeds max_fee_rate_sat_vb = {ceiling}, so no payment could pass; lower it"),
        );
    }
    policy.whitelist = read_whitelist(&mut section, cluster.map(Cluster::network));
    policy.approval = read_approval(&mut section, cluster);
    section.finish();
    policy
}

/// When people are asked, and how many.
fn read_approval(section: &mut Section<'_>, cluster: Option<&Cluster>) -> Option<Approval> {
    const OPERATORS: &str = "approval_operators";
    let above = section.optional("approval_above_sats", SATS, parse_sats);
    let count = |text: &str| text.parse::<u16>().ok().filter(|operators| *operators > 0);
    let operators = section.optional(OPERATORS, "a whole number from 1", count);
    let shown = operators.map(|operators| operators.to_string());
    if let Some(operators) = operators {
        match cluster.map(Cluster::total) {
            Some(members) if operators > members => section.note(
                OPERATORS,
                shown.as_deref(),
                format!("at most {members}: an operator decides at a node, and the cluster has {members}"),
            ),
            Some(_) | None if above.is_none() => section.note(
                OPERATORS,
                shown.as_deref(),
                "needs approval_above_sats, the amount above which people are asked; set it, or remove this",
            ),
            Some(_) | None => {}
        }
    }
    above.map(|above| Approval { above, operators: operators.unwrap_or(1) })
}

fn read_whitelist(section: &mut Section<'_>, network: Option<Network>) -> Option<BTreeSet<ScriptBuf>> {
    let listed = section.list("whitelist", "a list of addresses")?;
    let network = network?;
    let mut scripts = BTreeSet::new();
    for text in listed {
        let address = text.parse::<Address<NetworkUnchecked>>();
        match address.ok().and_then(|address| address.require_network(network).ok()) {
            Some(address) => {
                scripts.insert(address.script_pubkey());
            }
            None => section.note(
                "whitelist",
                Some(&text),
                format!("expected an address of this cluster's network, {}", network_name(network)),
            ),
        }
    }
    Some(scripts)
}

/// `[timing]`: milliseconds, all but the chain's poll, which stands in `[chain]`.
pub(super) fn read_timing(reader: &mut Reader) -> Timing {
    let mut section = reader.section("timing");
    let mut timing = Timing::default();
    for (key, slot) in [
        ("heartbeat", &mut timing.heartbeat),
        ("offline_after", &mut timing.offline_after),
        ("coordinator_grace", &mut timing.coordinator_grace),
        ("voting_round", &mut timing.voting_round),
        ("proposal_life", &mut timing.proposal_life),
        ("signing_session", &mut timing.signing_session),
        ("key_generation", &mut timing.key_generation),
        ("ecdsa_key_generation", &mut timing.ecdsa_key_generation),
        ("presigning", &mut timing.presigning),
        ("stalled", &mut timing.stalled),
        ("coin_wait", &mut timing.coin_wait),
        ("chain_stale", &mut timing.chain_stale),
        ("recheck_after", &mut timing.recheck_after),
        ("ban", &mut timing.ban),
        ("approval_wait", &mut timing.approval_wait),
    ] {
        set(slot, section.optional(key, "milliseconds, a whole number from 1", parse_millis));
    }
    if timing.offline_after <= timing.heartbeat {
        section.note(
            "offline_after",
            Some(&timing.offline_after.0.to_string()),
            format!("must exceed timing.heartbeat = {}, or every peer counts as offline", timing.heartbeat.0),
        );
    }
    section.finish();
    timing
}

/// A span that is not zero.
pub(super) fn parse_millis(text: &str) -> Option<Millis> {
    text.parse().ok().filter(|millis| *millis > 0).map(Millis)
}

/// `[limits]`.
pub(super) fn read_limits(reader: &mut Reader) -> Limits {
    let mut section = reader.section("limits");
    let mut limits = Limits::default();
    let count = |text: &str| text.parse::<usize>().ok().filter(|count| *count > 0);
    for (key, slot) in [
        ("open_transactions", &mut limits.open_transactions),
        ("waiting_requests", &mut limits.waiting_requests),
        ("sessions", &mut limits.sessions),
        ("early_messages", &mut limits.early_messages),
        ("inputs", &mut limits.inputs),
        ("metadata_bytes", &mut limits.metadata_bytes),
        ("unconfirmed_chain", &mut limits.unconfirmed_chain),
    ] {
        set(slot, section.optional(key, "a whole number from 1", count));
    }
    for (key, slot) in
        [("strikes", &mut limits.strikes), ("presigning_faults", &mut limits.presigning_faults)]
    {
        let faults = |text: &str| text.parse::<u32>().ok().filter(|faults| *faults > 0);
        set(slot, section.optional(key, "a whole number from 1", faults));
    }
    read_stock(&mut section, &mut limits);
    section.finish();
    limits
}

/// How many presignatures a group of signers has: at least low, made up to high, never beyond most.
fn read_stock(section: &mut Section<'_>, limits: &mut Limits) {
    for (key, slot, least) in [
        ("presignatures_low", &mut limits.presignatures_low, 0),
        ("presignatures_high", &mut limits.presignatures_high, 0),
        ("presignatures_most", &mut limits.presignatures_most, 1),
    ] {
        let expected = format!("a whole number from {least} to {MOST_PRESIGNATURES}");
        let count =
            |text: &str| text.parse().ok().filter(|count| (least..=MOST_PRESIGNATURES).contains(count));
        set(slot, section.optional(key, &expected, count));
    }
    let (low, high, most) = (limits.presignatures_low, limits.presignatures_high, limits.presignatures_most);
    for (key, value, bound_key, bound) in [
        ("presignatures_low", low, "presignatures_high", high),
        ("presignatures_high", high, "presignatures_most", most),
    ] {
        if value > bound {
            let remedy = format!("exceeds limits.{bound_key} = {bound}; lower it, or raise that");
            section.note(key, Some(&value.to_string()), remedy);
        }
    }
}

/// Overwrites a default.
fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}
