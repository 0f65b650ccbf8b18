//! How old the engines were: measured dates, where there are any, else release dates.

use std::collections::HashMap;

use super::table::Run;

/// Releases of runs without a date, by the engine's word for its version.
const RELEASED: &[(&str, &str)] = &[
    ("1.0.0rc3", "2025-07-15"),
    ("0.5.1.post1", "2025-08-15"),
    ("0.11.2", "2025-11-20"),
    ("0.12.0", "2025-12-03"),
    ("0.5.6", "2025-12-05"),
    ("0.5.6.post2", "2025-12-08"),
    ("1.2.0rc6.post1", "2026-01-10"),
    ("0.5.8.post1", "2026-01-28"),
    ("0.15.1", "2026-02-05"),
    ("1.3.0rc1", "2026-02-05"),
    ("0.5.9", "2026-02-25"),
    ("1.3.0rc5", "2026-03-01"),
    ("0.17.0", "2026-03-10"),
];
/// 1 July 2025, days since 1970.
const START: i64 = 20_270;
const DAYS_PER_MONTH: f64 = 30.4;
/// Where nothing is known. Default: the middle of the dated runs.
const UNKNOWN: f64 = 7.0;

/// The day a run was measured, days since 1970, where its notes say.
pub(super) fn measured_day(run: &Run) -> Option<i64> {
    day(run.entry.silicon_data_source.split_once("measured=")?.1)
}

/// Months since July 2025 of each run: by its date, else its version, else the median of its collection.
pub(super) fn months(runs: &[Run]) -> Vec<f64> {
    let dated: Vec<Option<f64>> = runs.iter().map(of_run).collect();
    let mut collections: HashMap<&str, Vec<f64>> = HashMap::new();
    for (run, months) in runs.iter().zip(&dated) {
        if let (Some(collection), Some(months)) = (run.collection(), months) {
            collections.entry(collection).or_default().push(*months);
        }
    }
    let usual = |run: &Run| Some(median(collections.get(run.collection()?)?.clone()));
    runs.iter().zip(dated).map(|(run, months)| months.or_else(|| usual(run)).unwrap_or(UNKNOWN)).collect()
}

fn of_run(run: &Run) -> Option<f64> {
    let released = || {
        let version = run.entry.backend_version.as_deref()?;
        RELEASED.iter().find(|(name, _)| *name == version).and_then(|(_, date)| day(date))
    };
    let day = measured_day(run).or_else(released)?;
    Some((day - START) as f64 / DAYS_PER_MONTH)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let below = if values.len().is_multiple_of(2) { middle.saturating_sub(1) } else { middle };
    (values.get(middle).unwrap_or(&UNKNOWN) + values.get(below).unwrap_or(&UNKNOWN)) / 2.0
}

/// The day of a date `2026-04-17…`, days since 1970, in the Gregorian calendar.
fn day(date: &str) -> Option<i64> {
    let mut parts = date.get(..10)?.split('-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    // Years from March, so that the leap day is the last; 719,468 days lie between 1 March of year 0 and 1970.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days() {
        assert_eq!(day("1970-01-01"), Some(0));
        assert_eq!(day("2025-07-01"), Some(START));
        assert_eq!(day("2000-02-29T11:00:00Z"), Some(11_016));
        assert_eq!(day("2026-04-17").unwrap() - day("2026-02-28").unwrap(), 48);
        assert_eq!(day("soon"), None);
    }

    #[test]
    fn medians() {
        assert!((median(vec![3.0, 1.0]) - 2.0).abs() < 1e-12);
        assert!((median(vec![5.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
    }
}
