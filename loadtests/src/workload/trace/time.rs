//! Wall times as traces write them: `2023-11-16 18:17:03.9799600`, with or without an offset from UTC.

use std::time::Duration;

/// Since 1970-01-01 00:00 UTC; nothing where the text is no such time.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (date, clock) = text.split_once([' ', 'T'])?;
    let (clock, offset_s) = split_offset(clock)?;
    let [year, month, day] = numbers(date, '-')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':')?;
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && (1_970..10_000).contains(&year);
    if !valid || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = (days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second) - offset_s;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanoseconds(fraction)?))
}

/// The clock without its offset, and the offset in seconds.
fn split_offset(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = clock.find(['+', '-']) else { return Some((clock, 0)) };
    let sign = if clock[at..].starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = numbers(&clock[at + 1..], ':')?;
    (hours < 24 && minutes < 60).then_some((&clock[..at], sign * (hours * 3_600 + minutes * 60)))
}

/// Exactly `N` unsigned numbers, separated by `separator`.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for number in &mut numbers {
        let part = parts.next()?;
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = if digits { part.parse().ok()? } else { return None };
    }
    parts.next().is_none().then_some(numbers)
}

/// Digits after the point; those beyond the ninth are dropped.
fn nanoseconds(fraction: &str) -> Option<u32> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{:0<9}", &fraction[..fraction.len().min(9)]);
    padded.parse().ok()
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_both_azure_traces_are_read() {
        let time = parse("2023-11-16 18:17:03.9799600").unwrap();
        assert_eq!(time, Duration::new(1_700_158_623, 979_960_000));
        assert_eq!(parse("2024-05-10 00:00:00.009930+00:00"), Some(Duration::new(1_715_299_200, 9_930_000)));
        assert_eq!(parse("2024-05-10T02:00:00+02:00"), parse("2024-05-10 00:00:00Z"));
        assert_eq!(parse("1970-01-01 00:00:00"), Some(Duration::ZERO));
        assert_eq!(parse("2000-02-29 00:00:00"), Some(Duration::from_secs(951_782_400)));
    }

    #[test]
    fn what_is_no_time_is_nothing() {
        for text in [
            "",
            "2023-11-16",
            "2023-13-01 00:00:00",
            "2023-11-16 24:00:00",
            "2023-11-16 1:2",
            "x 1:2:3",
            "2023-11-16 18:17:03.",
            "2023-11-16 18:17:03.1x",
            "1970-01-01 00:00:00+01:00",
            "2023-+1-16 18:17:03",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_day_later_is_a_day_more(year in 1970_i64..2200, month in 1_i64..13, day in 1_i64..28) {
            prop_assert_eq!(days(year, month, day + 1), days(year, month, day) + 1);
            prop_assert_eq!(days(year, 12, 31) + 1, days(year + 1, 1, 1));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[0-9TZ:. +-]{0,30}|.{0,30}") {
            let _ = parse(&text);
        }
    }
}
