//! Numbers and times as people write them, without floating point.

use mpc_wallet_core::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A fee rate that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a fee rate: write satoshis per virtual byte with at most three decimals, as in 2 or 1.5"
)]
pub struct NotAFeeRate(pub String);

/// Reads a fee rate in sat/vB, decimal with at most three places, as sat/kvB.
///
/// # Errors
/// [`NotAFeeRate`] for signs, exponents, more than three decimals, and rates beyond 10¹² sat/vB.
pub fn fee_rate_from_decimal(text: &str) -> Result<u64, NotAFeeRate> {
    let refused = || NotAFeeRate(text.to_owned());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, 12) || !digits(fraction, 3) {
        return Err(refused());
    }
    format!("{whole}{fraction:0<3}").parse().map_err(|_| refused())
}

/// Writes a fee rate in sat/kvB as sat/vB, decimal without needless zeros.
#[must_use]
pub fn fee_rate_to_decimal(sat_per_kvb: u64) -> String {
    let (whole, thousandths) = (sat_per_kvb / 1_000, sat_per_kvb % 1_000);
    if thousandths == 0 {
        return whole.to_string();
    }
    format!("{whole}.{thousandths:03}").trim_end_matches('0').to_owned()
}

/// A moment as RFC 3339 in UTC, to the millisecond. Moments beyond the year 9999 are shown as its end.
#[must_use]
pub fn rfc3339(moment: Timestamp) -> String {
    // The last millisecond that RFC 3339 can name.
    const LAST: u64 = 253_402_300_799_999;
    let millis = i128::from(moment.0.min(LAST));
    OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// A moment in whole seconds since 1970, as certificates have it; what lies before counts as 1970.
#[must_use]
pub fn rfc3339_of_unix(seconds: i64) -> String {
    rfc3339(Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)))
}

/// Now, by the machine's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fee_rates_keep_every_decimal_they_may_have() {
        for (text, rate) in [("1", 1_000), ("0.1", 100), ("1.5", 1_500), ("12.345", 12_345), ("0", 0)] {
            assert_eq!(fee_rate_from_decimal(text).unwrap(), rate);
            assert_eq!(fee_rate_to_decimal(rate), text);
        }
        for text in ["", "-1", "1e3", ".5", "1.", "1.2345", "1,5", "+1", "1 ", "9999999999999"] {
            assert!(fee_rate_from_decimal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_utc_to_the_millisecond() {
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp(u64::MAX)), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339_of_unix(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339_of_unix(-1), "1970-01-01T00:00:00Z");
    }
}
