//! Query parameters and path segments. What is not understood is refused, not ignored.

use axum::{
    extract::{FromRequestParts, Query},
    http::{StatusCode, request::Parts},
};
use bitcoin::Txid;
use mpc_wallet_core::Scheme;

use super::problem::Problem;

/// Most items of one page.
const MOST_ITEMS: usize = 200;
/// Items of a page when the caller does not say.
const DEFAULT_ITEMS: usize = 50;

/// The wallet that is meant when a request names none.
pub(super) const DEFAULT_SCHEME: Scheme = Scheme::Taproot;
/// What is said of a `type` that is none.
pub(super) const NOT_A_SCHEME: &str = "must be taproot or segwit";

/// The parameters of a request.
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Query(pairs)) => Ok(Self(pairs)),
            Err(_) => Err(Problem::bad_parameter("query", "the query string is not name=value pairs")),
        }
    }
}

impl Parameters {
    /// Takes a parameter that may be given once.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let Some(index) = self.0.iter().position(|(found, _)| found == name) else { return Ok(None) };
        let (_, value) = self.0.swap_remove(index);
        if self.0.iter().any(|(found, _)| found == name) {
            return Err(Problem::bad_parameter(name, "is given twice"));
        }
        Ok(Some(value))
    }

    /// `true` or `false`; `false` if not given.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_parameter(name, "must be true or false")),
        }
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            Some((name, _)) => Err(Problem::bad_parameter(name, "is not a parameter of this route")),
            None => Ok(()),
        }
    }

    /// `limit` and `cursor` of a list.
    pub(super) fn page(&mut self) -> Result<Page, Problem> {
        let limit = match self.take("limit")? {
            None => DEFAULT_ITEMS,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=MOST_ITEMS).contains(limit)).ok_or_else(|| {
                    Problem::bad_parameter("limit", format!("must be a number from 1 to {MOST_ITEMS}"))
                })?
            }
        };
        let before = match self.take("cursor")? {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                Problem::bad_parameter("cursor", "is not a next_cursor that this API gave out")
            })?),
        };
        Ok(Page { before, limit })
    }

    /// `type` of a wallet, if given.
    pub(super) fn scheme(&mut self) -> Result<Option<Scheme>, Problem> {
        self.take("type")?
            .map(|name| parse_scheme(&name).ok_or_else(|| Problem::bad_parameter("type", NOT_A_SCHEME)))
            .transpose()
    }

    /// `type` of one wallet; [`DEFAULT_SCHEME`] if not given.
    pub(super) fn one_scheme(&mut self) -> Result<Scheme, Problem> {
        self.scheme().map(|scheme| scheme.unwrap_or(DEFAULT_SCHEME))
    }
}

/// Which part of a list.
#[derive(Clone, Copy)]
pub(super) struct Page {
    /// Continue below this sequence.
    pub(super) before: Option<i64>,
    /// At most so many items.
    pub(super) limit: usize,
}

impl Page {
    /// Asked of the store: one more than shown, to know whether there is more.
    pub(super) const fn probe(self) -> usize {
        self.limit.saturating_add(1)
    }

    /// Cuts the probe off again and names the next page.
    pub(super) fn cut<T>(self, rows: &mut Vec<T>, sequence: impl Fn(&T) -> i64) -> Option<String> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        rows.last().filter(|_| more).map(|last| sequence(last).to_string())
    }
}

/// Reads a wallet's type; `None` if there is no such kind, and [`NOT_A_SCHEME`] says so.
pub(super) fn parse_scheme(name: &str) -> Option<Scheme> {
    Scheme::ALL.into_iter().find(|scheme| scheme.name() == name)
}

/// A transaction id from a path, in canonical form.
pub(super) fn parse_txid(text: &str) -> Result<String, Problem> {
    text.parse::<Txid>().map(|txid| txid.to_string()).map_err(|_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_txid",
            "A txid has 64 hexadecimal digits, in the order block explorers show.",
        )
    })
}
