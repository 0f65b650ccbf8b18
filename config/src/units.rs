//! Durations and sizes as people write them: `500ms`, `2s`, `1m`; `64KiB`, `32MiB`.

use std::time::Duration;

/// A week: longer than anything here is meant to take, short enough to add to any clock.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Units in nanoseconds, longest last, so that formatting may search from the end.
const DURATION_UNITS: [(&str, u64); 5] =
    [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

const SIZE_UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a duration: a number and one of `us`, `ms`, `s`, `m`, `h`; a bare `0` is also zero.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const RIGHT: &str = "write a number and a unit, such as 500ms, 2s, 1m or 1h";
    let (number, unit) = split(text).ok_or_else(|| format!("{text:?} is not a duration; {RIGHT}"))?;
    if unit.is_empty() && number == 0.0 {
        return Ok(Duration::ZERO);
    }
    if unit.is_empty() {
        return Err(format!("{text:?} has no unit; {RIGHT}"));
    }
    let Some((_, nanoseconds)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("{unit:?} is not a unit of time; {RIGHT}"));
    };
    let seconds = number * as_f64(*nanoseconds) / 1e9;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("{text:?} is longer than a week; write at most 168h"))
}

/// Writes a duration in the longest unit that leaves a whole number.
pub(crate) fn format_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let whole = DURATION_UNITS.iter().rev().find(|(_, unit)| nanoseconds.is_multiple_of(u128::from(*unit)));
    match whole {
        Some(_) if nanoseconds == 0 => "0s".to_owned(),
        Some((name, unit)) => format!("{}{name}", nanoseconds / u128::from(*unit)),
        None => format!("{}us", duration.as_secs_f64() * 1e6),
    }
}

/// Reads a size: a number of bytes, or a number and one of `kB`, `MB`, `GB` (thousands), `KiB`, `MiB`, `GiB` (1024s).
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    const RIGHT: &str = "write bytes or a number and a unit, such as 64KiB, 32MiB or 2GiB";
    let (number, unit) = split(text).ok_or_else(|| format!("{text:?} is not a size; {RIGHT}"))?;
    let Some((_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
        return Err(format!("{unit:?} is not a unit of size; {RIGHT}"));
    };
    let exact = number * as_f64(*bytes);
    // 2^53 bytes: beyond, a float no longer counts single bytes, and no machine has them.
    if exact.fract() != 0.0 || exact > 9_007_199_254_740_992.0 {
        return Err(format!("{text:?} is not a whole number of bytes a machine can have; {RIGHT}"));
    }
    format!("{exact:.0}").parse().map_err(|_| format!("{text:?} is too large for this machine; {RIGHT}"))
}

/// A non-negative number and what follows it, without spaces around.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse::<f64>().ok().filter(|number| number.is_finite())?;
    Some((number, text[end..].trim_start()))
}

/// Units are below 2^53, so nothing is lost.
fn as_f64(unit: u64) -> f64 {
    let (high, low) = (unit >> 32, unit & 0xffff_ffff);
    f64::from(u32::try_from(high).unwrap_or(0)) * 4_294_967_296.0 + f64::from(u32::try_from(low).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write() {
        for (text, milliseconds) in [("500ms", 500), ("2s", 2_000), ("1.5s", 1_500), ("1m", 60_000), ("0", 0)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
        assert_eq!(parse_duration("2 h").unwrap(), Duration::from_secs(7200));
        for text in ["", "s", "2", "-2s", "2 weeks", "1e3s", "999999h", "1..5s", "٣s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["0s", "500ms", "90s", "2m", "1h", "250us"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_read() {
        for (text, bytes) in [("1048576", 1 << 20), ("32MiB", 32 << 20), ("1.5kB", 1500), ("2 GiB", 2 << 30)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        assert_eq!(parse_size("64kib").unwrap(), 64 << 10);
        for text in ["", "MiB", "-1", "1.5", "3 TiB", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
