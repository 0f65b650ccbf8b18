//! `models/README.md` says what the code does.

use gearshift_selector::{
    OUTPUTS,
    inputs::{CENTRED, HARDWARE, MODEL, OVER_CHEAPEST, PROFILE, QUERY, QUERY_WIDTH},
};

const CONTRACT: &str = include_str!("../../../../models/README.md");

#[test]
fn the_documented_numbers_are_those_of_the_code() {
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let number: usize = cells.next()?.parse().ok()?;
        Some((number, cells.next()?.trim_matches('`')))
    };
    let documented: Vec<_> = CONTRACT.lines().filter_map(row).collect();
    let lists = [&OUTPUTS[..], &MODEL, &HARDWARE, &PROFILE, &QUERY];
    let expected: Vec<_> = lists.into_iter().flat_map(|list| list.iter().copied().enumerate()).collect();
    assert_eq!(documented, expected);
    let widths = [MODEL.len(), HARDWARE.len(), PROFILE.len()];
    for text in [
        format!("`features` [n, {}]", widths.iter().sum::<usize>() + QUERY_WIDTH),
        format!("`query` [n, {QUERY_WIDTH}]"),
        format!("`model` [n, {}]", widths[0]),
        format!("`hardware` [n, {}], `profile` [n, {}]", widths[1], widths[2]),
        format!("these {}; then centred copies of the first {CENTRED} ", QUERY.len()),
        format!("`{OVER_CHEAPEST}`"),
    ] {
        assert!(CONTRACT.contains(&text), "{text}");
    }
}
