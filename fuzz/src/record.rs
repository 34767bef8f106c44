//! What a journal may hold: it is refused, or it is exactly what encoding the record gives. The digests and txids that a
//! replay takes of it are taken as well.

use mpc_wallet_core::{
    codec,
    record::{Fact, Record},
};

const LIMIT: usize = 1024 * 1024;

/// Reads the bytes as one record.
pub fn target(bytes: &[u8]) {
    let Ok(record) = codec::decode::<Record>(bytes, LIMIT) else { return };
    assert_eq!(codec::encode(&record).as_deref(), Ok(bytes));
    match &record.fact {
        Fact::Proposed(proposal) => {
            let _ = (proposal.body.txid(), proposal.body.digest(), proposal.body.coins().count());
        }
        Fact::Proven(evidence) => {
            let _ = (evidence.accused(), evidence.violation(), evidence.digest());
        }
        Fact::Signed(transaction) => {
            let _ = transaction.0.compute_txid();
        }
        Fact::KeyShareSealed { request, .. } => {
            let _ = request.id();
        }
        Fact::Frozen(freeze) => {
            let _ = (freeze.body.id(), freeze.body.check());
        }
        _ => {}
    }
}
