//! Amounts as people write them. The unit is part of the amount: a bare number has lost people money.

use bitcoin::{Amount, Denomination};

/// Reads `50000sat` or `0.0005btc`.
pub(crate) fn parse_amount(text: &str) -> Result<Amount, String> {
    let lower = text.trim().to_ascii_lowercase();
    let units =
        [("sats", Denomination::Satoshi), ("sat", Denomination::Satoshi), ("btc", Denomination::Bitcoin)];
    let Some((number, unit)) =
        units.into_iter().find_map(|(name, unit)| Some((lower.strip_suffix(name)?.trim_end(), unit)))
    else {
        return Err(format!(
            "`{text}` could be satoshis or bitcoin; write the unit, as in 50000sat or 0.0005btc"
        ));
    };
    let amount =
        Amount::from_str_in(number, unit).map_err(|error| format!("`{text}` is not an amount: {error}"))?;
    if amount == Amount::ZERO {
        return Err("the amount must be at least 1sat".to_owned());
    }
    if amount > Amount::MAX_MONEY {
        return Err(format!("`{text}` is more bitcoin than can ever exist"));
    }
    Ok(amount)
}

/// `0.02500000 BTC (2,500,000 sat)`
pub(crate) fn show_amount(sats: u64) -> String {
    format!("{:.8} BTC ({} sat)", Amount::from_sat(sats).display_in(Denomination::Bitcoin), thousands(sats))
}

/// `2,500,000`
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An address in groups of four, so that people compare all of it.
pub(crate) fn in_fours(address: &str) -> String {
    let letters: Vec<_> = address.chars().collect();
    letters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_amount_has_its_unit() {
        for (text, sats) in [
            ("50000sat", 50_000),
            ("50000 sats", 50_000),
            ("0.0005btc", 50_000),
            ("1BTC", 100_000_000),
            ("0.00000001btc", 1),
        ] {
            assert_eq!(parse_amount(text).unwrap().to_sat(), sats, "{text}");
        }
    }

    #[test]
    fn what_could_mean_two_things_or_nothing_is_refused() {
        assert!(parse_amount("50000").unwrap_err().contains("could be satoshis or bitcoin"));
        for text in
            ["", "sat", "-5sat", "0sat", "0btc", "1.5sat", "0.000000001btc", "1e3sat", "21000001btc", "5mbtc"]
        {
            assert!(parse_amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_and_addresses_are_shown_for_comparison() {
        assert_eq!(show_amount(2_500_000), "0.02500000 BTC (2,500,000 sat)");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(in_fours("bc1qw508d6"), "bc1q w508 d6");
    }
}
