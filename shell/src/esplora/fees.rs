//! Fee estimates: decimals of sat/vB to whole sat/kvB.

use std::collections::BTreeMap;

use serde_json::Value;

/// The estimates of a `/fee-estimates` answer: target in blocks → sat/kvB, ascending. The map is sparse and may be empty;
/// what is not a target with a positive rate is left out (Core says -1 for "not known").
pub(super) fn estimates(answer: &BTreeMap<String, Value>) -> Vec<(u16, u64)> {
    let read = |(target, rate): (&String, &Value)| Some((target.parse().ok()?, sat_per_kvb(rate.as_f64()?)?));
    let sorted: BTreeMap<u16, u64> = answer.iter().filter_map(read).collect();
    sorted.into_iter().collect()
}

/// Rounds a rate in sat/vB up to whole sat/kvB. Works on the decimal digits, so that 1.007 is 1007 and not the 1007.999…
/// or 1006.999… of binary arithmetic. `None` unless positive and within `u64`.
fn sat_per_kvb(sat_per_vb: f64) -> Option<u64> {
    // The shortest decimal that reads back as this number, never in exponent form.
    let text = sat_per_vb.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let thousandths = fraction.get(..3).unwrap_or(fraction);
    let rest = fraction.get(3..).unwrap_or_default();
    let round_up = u64::from(rest.bytes().any(|digit| digit != b'0'));
    let rate = whole
        .parse::<u64>()
        .ok()?
        .checked_mul(1000)?
        .checked_add(format!("{thousandths:0<3}").parse().ok()?)?
        .checked_add(round_up)?;
    (rate > 0).then_some(rate)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn rates_round_up_to_whole_sat_per_kvb() {
        for (rate, expected) in [
            (87.882, Some(87_882)),
            (1.0, Some(1000)),
            (0.1, Some(100)),
            (1.007, Some(1007)),
            (1.0071, Some(1008)),
            (0.000_1, Some(1)),
            (1e-9, Some(1)),
            (12.5, Some(12_500)),
            (0.0, None),
            (-1.0, None),
            (1e300, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(sat_per_kvb(rate), expected, "{rate}");
        }
    }

    #[test]
    fn estimates_are_sorted_by_target_and_skip_what_is_not_an_estimate() {
        let answer =
            serde_json::from_str(r#"{"144": 1, "2": 20.5, "6": -1, "x": 3.0, "10": null, "70000": 1.0}"#);
        assert_eq!(estimates(&answer.unwrap()), [(2, 20_500), (144, 1000)]);
        assert_eq!(estimates(&BTreeMap::new()), []);
    }
}
