//! Whether the coins of a proposal are what it claims, by this node's own view of the chain.

use std::collections::BTreeMap;

use bitcoin::{OutPoint, Txid};

use super::is_mature;
use crate::{
    chain::CoinStatus,
    tx::{Prevout, Proposal},
    vote::RejectReason,
};

/// What this node thinks of a proposal's coins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoinVerdict {
    /// All exist, are unspent and as claimed.
    Good,
    /// This node's backend does not show it yet, which proves nothing about the proposal: ask again. For the log.
    NotYet(String),
    /// The proposal is wrong, and stays so.
    Bad(RejectReason),
}

/// What this node's own books say about other transactions.
#[derive(Clone, Copy)]
pub struct Books<'a> {
    /// Whether an unconfirmed transaction's outputs may be built on: this cluster finished it, and nothing else may confirm in
    /// its place.
    pub trusted: &'a dyn Fn(Txid) -> bool,
    /// Whether a transaction yields its coins, because the proposal replaces it.
    pub yields: &'a dyn Fn(Txid) -> bool,
}

/// Compares every claimed prevout with `statuses`, what the chain backend answered about the proposal's coins.
///
/// Amount and script are read from the raw parent, whose hash must be the txid: a backend can withhold, but not
/// forge. A coin must be unspent (or spent by this very transaction, or by one that `yields` to it because this one
/// replaces it), in a block or made by a transaction that is
/// `trusted`, and a block reward must be mature when the proposal's own lock time lets
/// it into a block. Doubt that time can remove is [`CoinVerdict::NotYet`]; a defect of one coin outweighs it.
#[must_use]
pub fn check_coins(
    proposal: &Proposal,
    statuses: &[(OutPoint, CoinStatus)],
    books: Books<'_>,
) -> CoinVerdict {
    let (inputs, prevouts) = (proposal.unsigned_tx.input.len(), proposal.prevouts.len());
    if inputs != prevouts {
        let text = format!("{prevouts} claimed coins for {inputs} inputs");
        return CoinVerdict::Bad(RejectReason::Malformed(text));
    }
    let statuses: BTreeMap<_, _> = statuses.iter().map(|(coin, status)| (coin, status)).collect();
    let mut verdict = CoinVerdict::Good;
    for (coin, claim) in proposal.coins().zip(&proposal.prevouts) {
        match judge(proposal, coin, claim, statuses.get(&coin).copied(), books) {
            Ok(()) => {}
            Err(Doubt::Wait(problem)) => verdict = CoinVerdict::NotYet(format!("input {coin}: {problem}")),
            Err(Doubt::Defect(problem)) => {
                return CoinVerdict::Bad(RejectReason::Input { coin: coin.to_string(), problem });
            }
        }
    }
    verdict
}

/// Why a coin is not good.
enum Doubt {
    /// May pass.
    Wait(String),
    /// Will not.
    Defect(String),
}

fn judge(
    proposal: &Proposal,
    coin: OutPoint,
    claim: &Prevout,
    status: Option<&CoinStatus>,
    books: Books<'_>,
) -> Result<(), Doubt> {
    let (parent, height, spent_by) = match status {
        None | Some(CoinStatus::Unknown) => {
            return Err(Doubt::Wait("the chain backend does not know its transaction".into()));
        }
        Some(CoinStatus::Known { parent, height, spent_by }) => (parent, *height, *spent_by),
    };
    let shown = parent.compute_txid();
    if shown != coin.txid {
        // The backend's fault, not the proposer's.
        return Err(Doubt::Wait(format!("the chain backend showed transaction {shown} instead")));
    }
    let Some(output) = usize::try_from(coin.vout).ok().and_then(|vout| parent.output.get(vout)) else {
        return Err(Doubt::Defect(format!("its transaction has only {} outputs", parent.output.len())));
    };
    if output.value != claim.value {
        let (claimed, actual) = (claim.value.to_sat(), output.value.to_sat());
        return Err(Doubt::Defect(format!("{claimed} sat are claimed, it holds {actual} sat")));
    }
    if output.script_pubkey != claim.script {
        return Err(Doubt::Defect("it has another script than claimed".into()));
    }
    match spent_by {
        Some(spender) if spender != proposal.txid() && !(books.yields)(spender) => {
            return Err(Doubt::Defect(format!("it is spent by {spender}")));
        }
        Some(_) | None => {}
    }
    match height {
        None if (books.trusted)(coin.txid) => Ok(()),
        None => Err(Doubt::Wait("it is unconfirmed and not change of this wallet".into())),
        // Until its lock time has passed no block takes the transaction, so maturity then is maturity enough.
        Some(height)
            if parent.is_coinbase()
                && !is_mature(height, proposal.unsigned_tx.lock_time.to_consensus_u32()) =>
        {
            Err(Doubt::Defect(format!(
                "it is a block reward of height {height}, too young for the lock time"
            )))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use bitcoin::{Amount, ScriptBuf, Transaction};

    use super::*;
    use crate::{ids::Scheme, wallet::fixture};

    const NO_BOOKS: Books<'static> = Books { trusted: &|_| false, yields: &|_| false };

    /// A good proposal of two coins and what an honest backend says about them.
    fn case() -> (Proposal, Vec<(OutPoint, CoinStatus)>) {
        let mut proposal = fixture::proposal(Scheme::Taproot, &[60_000, 50_000], 500, 9_500);
        let mut statuses = Vec::new();
        for index in 0..2u8 {
            let claim = &proposal.prevouts[usize::from(index)];
            let parent = fixture::parent(index, claim.into());
            let coin = OutPoint { txid: parent.compute_txid(), vout: 1 };
            proposal.unsigned_tx.input[usize::from(index)].previous_output = coin;
            statuses.push((coin, CoinStatus::Known { parent, height: Some(90), spent_by: None }));
        }
        (proposal, statuses)
    }

    /// Changes the status of the first coin.
    fn with(edit: impl FnOnce(&mut Transaction, &mut Option<u32>, &mut Option<Txid>)) -> CoinVerdict {
        let (proposal, mut statuses) = case();
        let CoinStatus::Known { parent, height, spent_by } = &mut statuses[0].1 else {
            return CoinVerdict::NotYet("no status to edit".into());
        };
        edit(parent, height, spent_by);
        check_coins(&proposal, &statuses, NO_BOOKS)
    }

    #[test]
    fn coins_as_the_chain_shows_them_are_good() {
        let (proposal, mut statuses) = case();
        assert_eq!(check_coins(&proposal, &statuses, NO_BOOKS), CoinVerdict::Good);
        statuses.reverse();
        assert_eq!(check_coins(&proposal, &statuses, NO_BOOKS), CoinVerdict::Good, "in any order");
    }

    #[test]
    fn a_coin_this_very_transaction_spends_is_good() {
        let own = case().0.txid();
        assert_eq!(with(|_, _, spent_by| *spent_by = Some(own)), CoinVerdict::Good);
    }

    #[test]
    fn a_coin_another_transaction_spends_is_bad() {
        let other = fixture::outpoint(9).txid;
        let verdict = with(|_, _, spent_by| *spent_by = Some(other));
        assert!(matches!(verdict, CoinVerdict::Bad(RejectReason::Input { .. })), "{verdict:?}");
    }

    #[test]
    fn what_the_backend_does_not_show_is_asked_again() {
        let (proposal, statuses) = case();
        let unknown = vec![(statuses[0].0, CoinStatus::Unknown), statuses[1].clone()];
        for (desc, verdict) in [
            ("unknown", check_coins(&proposal, &unknown, NO_BOOKS)),
            ("left out", check_coins(&proposal, &statuses[1..], NO_BOOKS)),
            ("another transaction", with(|parent, _, _| parent.output[0].value = Amount::from_sat(1))),
            ("unconfirmed", with(|_, height, _| *height = None)),
        ] {
            assert!(matches!(verdict, CoinVerdict::NotYet(_)), "{desc}: {verdict:?}");
        }
    }

    #[test]
    fn unconfirmed_change_of_our_own_is_good() {
        let (proposal, mut statuses) = case();
        let own = statuses[0].0.txid;
        if let CoinStatus::Known { height, .. } = &mut statuses[0].1 {
            *height = None;
        }
        assert_eq!(
            check_coins(&proposal, &statuses, Books { trusted: &|txid| txid == own, ..NO_BOOKS }),
            CoinVerdict::Good
        );
    }

    #[test]
    fn false_claims_are_bad_even_while_another_coin_is_in_doubt() {
        type Edit = fn(&mut Proposal);
        let edits: [(&str, Edit); 4] = [
            ("value", |p| p.prevouts[1].value = Amount::from_sat(50_001)),
            ("script", |p| p.prevouts[1].script = ScriptBuf::new()),
            ("output that does not exist", |p| p.unsigned_tx.input[1].previous_output.vout = 7),
            ("claim missing", |p| p.prevouts.truncate(1)),
        ];
        for (desc, edit) in edits {
            let (mut proposal, mut statuses) = case();
            edit(&mut proposal);
            statuses[0].1 = CoinStatus::Unknown;
            statuses[1].0 = proposal.unsigned_tx.input[1].previous_output;
            let verdict = check_coins(&proposal, &statuses, NO_BOOKS);
            assert!(matches!(verdict, CoinVerdict::Bad(_)), "{desc}: {verdict:?}");
        }
    }

    #[test]
    fn a_block_reward_must_be_mature_at_the_lock_time() {
        for (height, good) in [(fixture::LOCK_TIME - 99, true), (fixture::LOCK_TIME - 98, false)] {
            let mut proposal = fixture::proposal(Scheme::Taproot, &[60_000], 500, 9_500);
            let mut parent = fixture::parent(1, (&proposal.prevouts[0]).into());
            parent.input[0].previous_output = OutPoint::null();
            let coin = OutPoint { txid: parent.compute_txid(), vout: 1 };
            proposal.unsigned_tx.input[0].previous_output = coin;
            let status = CoinStatus::Known { parent, height: Some(height), spent_by: None };
            let verdict = check_coins(&proposal, &[(coin, status)], NO_BOOKS);
            assert_eq!(verdict == CoinVerdict::Good, good, "height {height}: {verdict:?}");
        }
    }
}
