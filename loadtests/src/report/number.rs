//! Numbers as people read them.

/// Three significant digits, thousands separated: `1,230`, `45.1`, `0.00812`; `–` for what is no number.
pub fn number(value: f64) -> String {
    significant(value, 3)
}

/// As [`number`], with `digits` significant ones. Whole digits are never rounded away.
pub fn significant(value: f64, digits: i32) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let magnitude = if value == 0.0 { 0 } else { exponent(value) };
    let decimals = usize::try_from(digits - 1 - magnitude).unwrap_or_default().min(12);
    let text = format!("{value:.decimals$}");
    // Rounding may have carried into another digit: 9.996 has become 10.00.
    let carried = text.parse::<f64>().is_ok_and(|rounded| rounded != 0.0 && exponent(rounded) > magnitude);
    let text = if carried { format!("{value:.0$}", decimals.saturating_sub(1)) } else { text };
    separated(&text)
}

/// Seconds with a fitting unit: `812 µs`, `45.1 ms`, `2.35 s`, `12.0 min`.
pub fn duration(seconds: f64) -> String {
    let (amount, unit) = match seconds.abs() {
        below if below < 0.9995e-3 => (seconds * 1e6, "µs"),
        below if below < 0.9995 => (seconds * 1e3, "ms"),
        below if below < 120.0 => (seconds, "s"),
        _ => (seconds / 60.0, "min"),
    };
    format!("{} {unit}", number(amount))
}

/// Thousands separated by commas, before the point.
fn separated(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let whole = text.find('.').unwrap_or(text.len());
    let mut separated = sign.to_owned();
    for (index, digit) in text.char_indices() {
        if index > 0 && index < whole && (whole - index).is_multiple_of(3) {
            separated.push(',');
        }
        separated.push(digit);
    }
    separated
}

/// The power of ten of the first digit.
fn exponent(value: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "at most 308 either way")]
    let exponent = value.abs().log10().floor() as i32;
    exponent
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_read_well() {
        for (value, text) in [
            (0.0, "0.00"),
            (1_234_567.8, "1,234,568"),
            (1_230.4, "1,230"),
            (999.96, "1,000"),
            (45.123, "45.1"),
            (9.996, "10.0"),
            (-0.008_123, "-0.00812"),
            (-1_234.0, "-1,234"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn durations_have_a_fitting_unit() {
        for (seconds, text) in [
            (0.000_812, "812 µs"),
            (0.0451, "45.1 ms"),
            (0.999_9, "1.00 s"),
            (2.351, "2.35 s"),
            (720.0, "12.0 min"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn three_digits_are_kept(value in -1e12..1e12_f64) {
            let back: f64 = number(value).replace(',', "").parse().unwrap();
            prop_assert!((back - value).abs() <= value.abs() * 0.005_01 + 1e-12);
        }
    }
}
