//! Where to send money: the address, and the payment URI (BIP-21) as text and as a QR code.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bitcoin::{Address, Amount, Denomination};
use mpc_wallet_core::Scheme;
use qrcode::{EcLevel, QrCode, render::svg};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    descriptor,
    problem::Problem,
    query::Parameters,
    schema::WalletType,
    state::ApiState,
    wallet::{public_key, receive_address, wallet_of},
};
use crate::config::network_name;

/// Longest label, in bytes: a QR code that a telephone reads from a screen has room for no more.
const LONGEST_LABEL: usize = 120;
/// Modules of the QR code are squares of so many units; the quiet zone is the four modules of the standard.
const MODULE: u32 = 4;

/// Where to send money.
#[derive(Serialize, ToSchema)]
pub(super) struct ReceiveAddress {
    r#type: WalletType,
    /// `p2tr` or `p2wpkh`
    script_type: &'static str,
    network: &'static str,
    address: String,
    /// Hexadecimal digits.
    script_pubkey: String,
    /// The key that the members share, before any tweak; hexadecimal digits.
    public_key: String,
    /// Its name in this cluster.
    key: String,
    /// Output descriptor with checksum, for wallets that watch.
    descriptor: String,
    /// BIP-21, with the amount and the label asked for.
    uri: String,
    /// One key, one address: whoever knows it can link its payments.
    reused: bool,
}

/// Shows where to send money
#[utoipa::path(
    get,
    path = "/api/v1/wallet/address",
    tag = "wallet",
    params(
        ("type" = Option<WalletType>, Query, description = "The wallet; `taproot` if not given."),
        ("amount_sats" = Option<u64>, Query, minimum = 1, maximum = 2_100_000_000_000_000_u64, description = "Amount asked for, in the `uri`."),
        ("label" = Option<String>, Query, min_length = 1, description = "Label in the `uri`, at most 120 bytes."),
    ),
    responses(
        (status = 200, description = "The address.", body = ReceiveAddress),
        (status = 409, description = "The wallet has no key yet."),
    ),
)]
pub(super) async fn address(
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<ReceiveAddress>, Problem> {
    let wanted = Wanted::take(&mut parameters)?;
    parameters.finish()?;
    let (overview, _) = state.present();
    let wallet = wallet_of(&overview, wanted.scheme)?;
    let network = state.options().network;
    let address = receive_address(wallet, network);
    Ok(Json(ReceiveAddress {
        r#type: WalletType(wanted.scheme),
        script_type: script_type(wanted.scheme),
        network: network_name(network),
        address: address.to_string(),
        script_pubkey: address.script_pubkey().to_hex_string(),
        public_key: public_key(wallet),
        key: wallet.key.to_string(),
        descriptor: descriptor::of(wanted.scheme, &wallet.public_key),
        uri: wanted.uri(&address),
        reused: true,
    }))
}

/// Shows the payment URI as a QR code
#[utoipa::path(
    get,
    path = "/api/v1/wallet/address/qr",
    tag = "wallet",
    params(
        ("type" = Option<WalletType>, Query, description = "The wallet; `taproot` if not given."),
        ("amount_sats" = Option<u64>, Query, minimum = 1, maximum = 2_100_000_000_000_000_u64, description = "Amount asked for."),
        ("label" = Option<String>, Query, min_length = 1, description = "Label, at most 120 bytes."),
    ),
    responses(
        (status = 200, description = "An image of the address's `uri`.", content_type = "image/svg+xml", body = String),
        (status = 409, description = "The wallet has no key yet."),
    ),
)]
pub(super) async fn qr(
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let wanted = Wanted::take(&mut parameters)?;
    parameters.finish()?;
    let (overview, _) = state.present();
    let wallet = wallet_of(&overview, wanted.scheme)?;
    let uri = wanted.uri(&receive_address(wallet, state.options().network));
    let code = QrCode::with_error_correction_level(uri, EcLevel::M).map_err(|_| Problem::internal())?;
    let image = code.render::<svg::Color<'_>>().module_dimensions(MODULE, MODULE).build();
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], image).into_response())
}

/// A payment that somebody is asked for.
struct Wanted {
    scheme: Scheme,
    amount: Option<Amount>,
    label: Option<String>,
}

impl Wanted {
    fn take(parameters: &mut Parameters) -> Result<Self, Problem> {
        Ok(Self {
            scheme: parameters.one_scheme()?,
            amount: parameters.take("amount_sats")?.map(|text| amount(&text)).transpose()?,
            label: parameters.take("label")?.map(label).transpose()?,
        })
    }

    /// BIP-21: the amount in bitcoin, the label percent-encoded.
    fn uri(&self, address: &Address) -> String {
        let amount =
            self.amount.map(|amount| format!("amount={}", amount.to_string_in(Denomination::Bitcoin)));
        let label = self.label.as_ref().map(|label| format!("label={}", percent_encoded(label)));
        let query: Vec<_> = [amount, label].into_iter().flatten().collect();
        if query.is_empty() {
            format!("bitcoin:{address}")
        } else {
            format!("bitcoin:{address}?{}", query.join("&"))
        }
    }
}

fn amount(text: &str) -> Result<Amount, Problem> {
    let most = Amount::MAX_MONEY.to_sat();
    let sats = text.parse().ok().filter(|sats| (1..=most).contains(sats));
    sats.map(Amount::from_sat).ok_or_else(|| {
        Problem::bad_parameter("amount_sats", format!("must be a whole number of satoshis from 1 to {most}"))
    })
}

fn label(text: String) -> Result<String, Problem> {
    if (1..=LONGEST_LABEL).contains(&text.len()) {
        return Ok(text);
    }
    Err(Problem::bad_parameter("label", format!("must have 1 to {LONGEST_LABEL} bytes")))
}

/// All but the unreserved characters of RFC 3986.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        reserved => format!("%{reserved:02X}"),
    };
    text.bytes().map(encode).collect()
}

const fn script_type(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Taproot => "p2tr",
        Scheme::Segwit => "p2wpkh",
    }
}
