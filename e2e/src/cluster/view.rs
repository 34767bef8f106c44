//! What a node's HTTP face says, as far as the suites read it. Written down anew here and not shared with the server,
//! because a client's programmer reads the documentation, too, and not our types.

use serde::Deserialize;

/// A kind of wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// P2TR, signed with FROST.
    Taproot,
    /// P2WPKH, signed with threshold ECDSA.
    Segwit,
}

impl Kind {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taproot => "taproot",
            Self::Segwit => "segwit",
        }
    }
}

/// `POST /api/v1/transactions`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PaymentView {
    /// The Bitcoin transaction id, final from now on.
    pub txid: String,
    /// Where it stands.
    pub state: String,
    /// Address of the payee.
    pub recipient: String,
    /// What the payee gets.
    pub amount_sats: u64,
    /// What the miners get; `None` if the node took the payment but could not read it back.
    pub fee_sats: Option<u64>,
}

/// `GET /api/v1/transactions`
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct TransactionsView {
    pub(super) items: Vec<TransactionView>,
    pub(super) next_cursor: Option<String>,
}

/// `GET /api/v1/transactions/{txid}`; lists leave out votes and timeline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TransactionView {
    /// The Bitcoin transaction id.
    pub txid: String,
    /// Where it stands.
    pub state: String,
    /// Why.
    pub sub_status: String,
    /// Address of the payee.
    pub recipient: String,
    /// What the payee gets.
    pub amount_sats: u64,
    /// What the miners get.
    pub fee_sats: u64,
    /// The node that proposed it.
    pub proposed_by: u16,
    /// Depth in the chain.
    pub confirmations: u32,
    /// The transaction for the same payment that it takes the place of.
    #[serde(default)]
    pub replaces: Option<String>,
    /// The transaction that takes its place.
    #[serde(default)]
    pub replaced_by: Option<String>,
    /// Votes counted.
    #[serde(default)]
    pub votes: Vec<VoteView>,
    /// States passed, in order.
    #[serde(default)]
    pub timeline: Vec<TransitionView>,
}

impl TransactionView {
    /// State and sub-status in a word, for messages.
    pub fn standing(&self) -> String {
        format!("{} ({})", self.state, self.sub_status)
    }

    /// Whether its story is over.
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "confirmed" | "rejected" | "failed" | "aborted_byzantine")
    }

    /// When it first entered a state, by the node's clock, in milliseconds since 1970.
    pub fn entered(&self, state: &str) -> Option<i64> {
        self.timeline.iter().find(|step| step.to == state).and_then(TransitionView::at_ms)
    }
}

/// One vote.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VoteView {
    /// Who.
    pub node_id: u16,
    /// Yes or no.
    pub approve: bool,
    /// Why not.
    #[serde(default)]
    pub reason: Option<String>,
    /// The round.
    #[serde(default)]
    pub round: u32,
    /// The voter's signature, hexadecimal.
    #[serde(default)]
    pub signature: String,
}

/// One change of state or of its reason.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TransitionView {
    /// Before; `None` at the beginning.
    pub from: Option<String>,
    /// After.
    pub to: String,
    /// Why.
    pub sub_status: String,
    /// When, RFC 3339 with milliseconds.
    pub at: String,
}

impl TransitionView {
    /// When, in milliseconds since 1970.
    pub fn at_ms(&self) -> Option<i64> {
        let format = &time::format_description::well_known::Rfc3339;
        let at = time::OffsetDateTime::parse(&self.at, format).ok()?;
        i64::try_from(at.unix_timestamp_nanos().checked_div(1_000_000)?).ok()
    }
}

/// `GET /api/v1/cluster/status`
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ClusterView {
    /// n
    pub total_nodes: u16,
    /// Members reachable, the node included.
    pub online_nodes: u16,
    /// t
    pub threshold: u16,
    /// The coordinator; `None` while there is none.
    pub coordinator: Option<u16>,
    /// What makes it so.
    pub coordination: CoordinationView,
}

/// What makes a coordinator one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CoordinationView {
    /// `lease` or `embedded_rule`.
    pub by: String,
    /// The lease's fencing epoch.
    pub epoch: Option<u64>,
}

/// `GET /api/v1/cluster/nodes`
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NodesView {
    /// Every member.
    pub nodes: Vec<NodeView>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NodeView {
    /// Who.
    pub node_id: u16,
    /// `online`, `offline`, `degraded` or `banned`.
    pub status: String,
    /// Votes seen of it.
    pub total_votes: u64,
    /// Violations recorded of it.
    pub total_violations: u64,
    /// Until when it is shut out, RFC 3339.
    pub banned_until: Option<String>,
}

/// `GET /api/v1/wallet/balance`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BalanceView {
    /// In blocks.
    pub confirmed_balance_sats: u64,
    /// Waiting for a block.
    pub unconfirmed_balance_sats: u64,
    /// All of it.
    pub total_balance_sats: u64,
}

/// `GET /api/v1/wallet/address`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AddressView {
    /// The receive address.
    pub address: String,
}

/// `GET /api/v1/dkg`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeygenView {
    /// The key generation under way or the last that ended; `None` if the node saw none since its start.
    pub keygen: Option<KeygenRun>,
    /// The keys that can be used.
    pub active_keys: Vec<String>,
}

impl KeygenView {
    /// Whether the key of a kind of wallet can be used.
    pub fn has(&self, kind: Kind) -> bool {
        self.active_keys.iter().any(|key| key.starts_with(kind.name()))
    }
}

/// One key generation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeygenRun {
    /// `preparing`, `running`, `confirming`, `proving`, `active` or `failed`.
    pub status: String,
    /// Who has not spoken yet in this phase.
    pub waiting_for: Vec<u16>,
    /// Where the protocol stands, while it runs.
    pub stage: Option<StageView>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Where a protocol stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StageView {
    /// What is being done.
    pub name: String,
    /// The round that is awaited, from 1.
    pub round: u8,
    /// How many there are.
    pub rounds: u8,
}

/// `GET /api/v1/presignatures`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StockView {
    /// What a payment could use now.
    pub available: usize,
    /// Used by this node, ever.
    pub used: usize,
}
