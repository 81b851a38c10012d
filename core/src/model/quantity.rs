//! Quantities of Kubernetes, exactly: `1024Mi` is `1Gi`, `0.5` is `500m`, `1e3` is `1k`.
//!
//! The API server keeps quantities below 2^63 in steps of a billionth, and those of resources in steps
//! of a thousandth; what is larger or finer it silently caps or rounds up. That is refused here, so that
//! what a cluster holds is what was written.

use std::fmt;

use serde_json::{Map, Value};

use super::fields::Fields;
use super::limits::ENTRIES_MAX;
use super::report::{Report, quoted};

/// Longest text of a quantity, in bytes: the largest ones with nine decimals stay below.
const TEXT_MAX_BYTES: usize = 40;

/// One, counted in billionths.
const ONE: i128 = 1_000_000_000;

/// Largest value, in billionths: 2^63 - 1 ones.
const VALUE_MAX: i128 = (i64::MAX as i128) * ONE;

/// Suffixes and what they multiply by, in billionths. `E` alone is one of them; with digits behind it,
/// it is an exponent.
const SUFFIXES: [(&str, i128); 16] = [
    ("", ONE),
    ("n", 1),
    ("u", 1_000),
    ("m", 1_000_000),
    ("k", 1_000 * ONE),
    ("M", 1_000_000 * ONE),
    ("G", 1_000_000_000 * ONE),
    ("T", 1_000_000_000_000 * ONE),
    ("P", 1_000_000_000_000_000 * ONE),
    ("E", 1_000_000_000_000_000_000 * ONE),
    ("Ki", ONE << 10),
    ("Mi", ONE << 20),
    ("Gi", ONE << 30),
    ("Ti", ONE << 40),
    ("Pi", ONE << 50),
    ("Ei", ONE << 60),
];

/// A quantity, in billionths of its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Quantity(i128);

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuantityError {
    /// Not of the grammar.
    Malformed,
    /// At or above 2^63, where the API server caps.
    TooLarge,
    /// Finer than a billionth, where the API server rounds.
    TooFine,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QuantityError::Malformed => {
                "is no quantity: a number with at most one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent"
            }
            QuantityError::TooLarge => "is too large: the API server caps quantities at 2^63 - 1",
            QuantityError::TooFine => "is too fine: the API server rounds below a billionth",
        })
    }
}

/// Whether two texts are the same quantity. What is none of both is compared as it is written.
pub fn quantities_equal(a: &str, b: &str) -> bool {
    match (Quantity::parse(a), Quantity::parse(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

impl Quantity {
    /// One of its unit.
    pub(super) const ONE: Quantity = Quantity(ONE);

    /// Reads a quantity.
    pub(super) fn parse(text: &str) -> Result<Quantity, QuantityError> {
        if text.len() > TEXT_MAX_BYTES {
            return Err(QuantityError::Malformed);
        }
        let (sign, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (-1, &text[1..]),
            Some(b'+') => (1, &text[1..]),
            _ => (1, text),
        };
        let is_digit_or_point = |c: char| c.is_ascii_digit() || c == '.';
        let end = unsigned
            .find(|c| !is_digit_or_point(c))
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(QuantityError::Malformed);
        }
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let shift = -i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let value = scale(digits, suffix, shift)?;
        if value > VALUE_MAX {
            return Err(QuantityError::TooLarge);
        }
        Ok(Quantity(sign * value))
    }

    /// Whether it is less than nothing.
    pub(super) fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is a whole number of its unit.
    pub(super) fn is_whole(self) -> bool {
        self.0 % ONE == 0
    }

    /// Whether the API server keeps it as the amount of a resource.
    fn is_in_thousandths(self) -> bool {
        self.0 % (ONE / 1_000) == 0
    }

    /// How often `other` goes into it, as exactly as the API server counts ratios.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the API server compares ratios as doubles too"
    )]
    pub(super) fn ratio_to(self, other: Quantity) -> f64 {
        self.0 as f64 / other.0 as f64
    }
}

/// Digits times their suffix, times ten to the power of `shift`, in billionths.
fn scale(digits: &str, suffix: &str, shift: i64) -> Result<i128, QuantityError> {
    let (factor, shift) = match SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        Some((_, factor)) => (*factor, shift),
        None => (ONE, shift + exponent(suffix)?),
    };
    if digits.is_empty() {
        return Ok(0);
    }
    let mantissa: i128 = digits.parse().map_err(|_| QuantityError::TooLarge)?;
    let power = |exponent: i64| {
        let exponent = u32::try_from(exponent).ok()?;
        10_i128.checked_pow(exponent)
    };
    let scaled = mantissa.checked_mul(factor);
    if shift >= 0 {
        let scaled = power(shift).and_then(|power| scaled?.checked_mul(power));
        return scaled.ok_or(QuantityError::TooLarge);
    }
    // Digits are bounded, so that what can't be multiplied is too large, and what can't be divided has
    // more decimals than the digits and the factor could make up for.
    let scaled = scaled.ok_or(QuantityError::TooLarge)?;
    let power = power(-shift).ok_or(QuantityError::TooFine)?;
    if scaled % power == 0 {
        Ok(scaled / power)
    } else {
        Err(QuantityError::TooFine)
    }
}

/// The exponent in `e3`, `E-3`.
fn exponent(suffix: &str) -> Result<i64, QuantityError> {
    let text = suffix
        .strip_prefix(['e', 'E'])
        .ok_or(QuantityError::Malformed)?;
    let exponent: i16 = text.parse().map_err(|_| QuantityError::Malformed)?;
    Ok(exponent.into())
}

/// A map of quantities as it was read: for each name the text that travels, and its value.
#[derive(Debug, Default)]
pub(super) struct Quantities(Vec<(String, String, Quantity)>);

impl Quantities {
    /// Reads the map at the field `key`; none of its values may be negative. A number that stands
    /// without quotes is a quantity too, as it is for the API server, and travels as a text.
    pub(super) fn read(
        fields: &Fields<'_>,
        key: &str,
        check_name: impl Fn(&str) -> Result<(), String>,
        report: &mut Report,
    ) -> Quantities {
        let Some(map) = fields
            .get(key)
            .and_then(|value| Fields::open_map(value, fields.path(key), report))
        else {
            return Quantities::default();
        };
        if map.entries().count() > ENTRIES_MAX {
            let message = format!("holds more than {ENTRIES_MAX} entries");
            report.refuse(fields.path(key), message);
            return Quantities::default();
        }
        let mut quantities = Vec::new();
        for (name, value) in map.entries() {
            if let Err(message) = check_name(name) {
                report.refuse(map.path(name), message);
                continue;
            }
            match read_value(value) {
                Ok((text, quantity)) => quantities.push((name.clone(), text, quantity)),
                Err(message) => report.refuse(map.path(name), message),
            }
        }
        Quantities(quantities)
    }

    /// Names and values, in the order of the names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        let values = self.0.iter();
        values.map(|(name, _, quantity)| (name.as_str(), *quantity))
    }

    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<Quantity> {
        let found = self.iter().find(|(of, _)| *of == name);
        found.map(|(_, quantity)| quantity)
    }

    /// Writes the map at `key`, unless it is empty.
    pub(super) fn insert_into(&self, body: &mut Map<String, Value>, key: &str) {
        let texts = self.0.iter();
        let texts: Map<String, Value> = texts
            .map(|(name, text, _)| (name.clone(), text.as_str().into()))
            .collect();
        if !texts.is_empty() {
            body.insert(key.to_owned(), Value::Object(texts));
        }
    }
}

fn read_value(value: &Value) -> Result<(String, Quantity), String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err("must be a quantity, such as 500m or 2Gi".to_owned()),
    };
    let quantity = Quantity::parse(&text).map_err(|error| format!("{} {error}", quoted(&text)))?;
    if quantity.is_negative() {
        return Err("must not be negative".to_owned());
    }
    if !quantity.is_in_thousandths() {
        let message = "is too fine: the API server rounds resources up to a thousandth";
        return Err(format!("{} {message}", quoted(&text)));
    }
    Ok((text, quantity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_quantities_are_equal_in_every_spelling() {
        for (a, b) in [
            ("1024Mi", "1Gi"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("12e-1", "1.2"),
            ("1E", "1000P"),
            ("1000000000n", "1"),
            ("1500u", "1.5m"),
            ("0.001Ki", "1024m"),
            ("0.000000001", "1n"),
            ("000.50", "+0.5"),
            ("-1", "-1000m"),
            ("0", "0Ei"),
            ("0e999", "-0"),
            ("8191Pi", "8387584Ti"),
            ("9223372036854775807", "9223372036854775.807k"),
        ] {
            assert!(quantities_equal(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("1G", "1Gi"),
            ("1m", "1M"),
            ("1", "1n"),
            ("x", "X"),
            ("", "0"),
        ] {
            assert!(!quantities_equal(a, b), "{a} {b}");
        }
        assert!(quantities_equal("unlimited", "unlimited"));
    }

    #[test]
    fn quantities_are_ordered_by_value() {
        let sorted = [
            "-1k", "-1", "0", "1n", "999u", "1m", "0.5", "1", "1k", "1Ki", "1G", "1Gi", "7Ei",
        ];
        let parsed: Vec<Quantity> = sorted.map(|text| Quantity::parse(text).unwrap()).to_vec();
        assert!(parsed.is_sorted());
    }

    #[test]
    fn what_is_no_quantity_is_malformed() {
        for text in [
            "",
            "-",
            ".",
            "Ki",
            "1K",
            "1ki",
            "1KiB",
            "1 Gi",
            " 1",
            "1.2.3",
            "--1",
            "1e",
            "1e+",
            "1e1.5",
            "1mm",
            "0x1",
            "1_000",
            "1,5",
            "é",
            "1e99999999",
            "NaN",
        ] {
            assert_eq!(
                Quantity::parse(text),
                Err(QuantityError::Malformed),
                "{text:?}"
            );
        }
        let long = "1".repeat(TEXT_MAX_BYTES + 1);
        assert_eq!(Quantity::parse(&long), Err(QuantityError::Malformed));
    }

    #[test]
    fn what_the_api_server_would_cap_or_round_is_refused() {
        for text in [
            "9223372036854775808",
            "8Ei",
            "10E",
            "1e19",
            "1e999",
            "99999999999999999999999999",
        ] {
            assert_eq!(
                Quantity::parse(text),
                Err(QuantityError::TooLarge),
                "{text:?}"
            );
        }
        for text in ["0.1n", "1e-10", "0.0000000001", "1.0000000005", "1e-999"] {
            assert_eq!(
                Quantity::parse(text),
                Err(QuantityError::TooFine),
                "{text:?}"
            );
        }
    }
}
