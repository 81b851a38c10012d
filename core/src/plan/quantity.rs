//! Kubernetes quantities (`500m`, `1.5Gi`, `2e3`), as far as comparing them goes.

/// Digits of a number that is still compared exactly; the API server's own limit is lower.
const DIGITS_MAX: usize = 30;
/// Exponents beyond this say nothing about amounts of anything.
const EXPONENT_MAX: i32 = 30;

/// One spelling for all spellings of a value: equal values give equal texts. `None` for what is no
/// quantity.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix(['-', '+']) {
        Some(rest) if text.starts_with('-') => ("-", rest),
        Some(rest) => ("", rest),
        None => ("", text),
    };
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > DIGITS_MAX || fraction.contains('.') {
        return None;
    }
    let (binary, decimal) = scale(suffix)?;
    let mut mantissa = digits.parse::<u128>().ok()?.checked_mul(1_u128 << binary)?;
    let mut exponent = decimal - i32::try_from(fraction.len()).ok()?;
    while mantissa != 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        exponent += 1;
    }
    Some(match mantissa {
        0 => "0".to_owned(),
        _ => format!("{sign}{mantissa}e{exponent}"),
    })
}

/// The powers of two and of ten that a suffix stands for.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(at) = BINARY.iter().position(|known| *known == suffix) {
        return Some((10 * (u32::try_from(at).ok()? + 1), 0));
    }
    let decimal = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (exponent.abs() <= EXPONENT_MAX).then_some(exponent)?
        }
    };
    Some((0, decimal))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn equal_amounts_have_one_spelling() {
        for (a, b) in [
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            ("20", "20000m"),
            ("1k", "1000"),
            ("1e3", "1k"),
            ("+1", "1"),
            ("0", "0Gi"),
            ("-0", "0"),
            ("1E", "1e18"),
            ("0.1Gi", "107374182400m"),
        ] {
            assert!(canonical(a).is_some(), "{a}");
            assert_eq!(canonical(a), canonical(b), "{a} {b}");
        }
    }

    #[test]
    fn other_amounts_have_another() {
        for (a, b) in [
            ("1", "2"),
            ("1M", "1Mi"),
            ("1", "-1"),
            ("1", "10"),
            ("1n", "1u"),
        ] {
            assert_ne!(canonical(a), canonical(b), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_amount_has_none() {
        for text in ["", "x", "1x", "1.2.3", "e3", ".", "1e99", "1 Gi", "1ee3"] {
            assert_eq!(canonical(text), None, "{text}");
        }
        assert_eq!(canonical(&"9".repeat(31)), None);
    }
}
