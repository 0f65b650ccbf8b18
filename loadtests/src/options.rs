//! Values of options that several commands take.

use clap::ValueEnum;

/// Forms of the report on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables.
    Text,
    /// For scripts.
    Json,
}

/// Above this nothing that is asked for ends, and durations overflow.
const MOST: f64 = 1e9;

/// Reads a positive number, for clap.
///
/// # Errors
/// Where it is none, or has no end.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= MOST => Ok(value),
        _ => Err(format!("expected a number above 0, and not above {MOST}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_no_number() {
        assert_eq!(positive("2.5"), Ok(2.5));
        for text in ["0", "-1", "nan", "inf", "1e300", "fast", ""] {
            assert!(positive(text).is_err(), "{text}");
        }
    }
}
