//! "Did you mean": the closest of the names that would have been right.

/// Names longer than this are not compared: nobody mistypes a paragraph.
const MAX_COMPARED: usize = 128;

/// Says which of `known` was probably meant by `name`, or else lists them.
///
/// `None` when nothing is known. Long lists are not repeated in full.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let mut meant = longer(name, &known);
    if meant.is_empty() {
        meant.extend(closest(name, &known));
    }
    if !meant.is_empty() {
        let quoted: Vec<_> = meant.iter().map(|name| format!("{name:?}")).collect();
        return Some(format!("did you mean {}?", quoted.join(" or ")));
    }
    const SHOWN: usize = 12;
    match known.len() {
        0 => None,
        1 => Some(format!("the only one is {:?}", known[0])),
        2..=SHOWN => Some(format!("known are {}", known.join(", "))),
        more => Some(format!("known are {}, and {} more", known[..SHOWN].join(", "), more - SHOWN)),
    }
}

fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.is_empty() || name.len() > MAX_COMPARED {
        return None;
    }
    let plain = normal(name);
    let allowed = 1 + plain.len() / 4;
    known
        .iter()
        .filter(|candidate| candidate.len() <= MAX_COMPARED)
        .map(|&candidate| (distance(&plain, &normal(candidate)), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Names that begin with `name`: `H100` is short for `h100_sxm` or `h100_pcie`. None where they are many.
fn longer<'a>(name: &str, known: &[&'a str]) -> Vec<&'a str> {
    const FEWEST_CHARS: usize = 3;
    const MOST: usize = 4;
    let plain = normal(name);
    let found: Vec<_> =
        known.iter().copied().filter(|candidate| normal(candidate).starts_with(&plain)).collect();
    if plain.len() < FEWEST_CHARS || found.len() > MOST { Vec::new() } else { found }
}

/// Case and separators are what people get wrong most: `H100-SXM` is meant as `h100_sxm`.
fn normal(name: &str) -> Vec<char> {
    name.chars().map(|c| if matches!(c, '_' | ' ' | '.') { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Edit distance with transpositions of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i);
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_closest_and_lists_when_nothing_is_close() {
        assert_eq!(suggest("fats", ["fast", "cheap"]).unwrap(), "did you mean \"fast\"?");
        assert_eq!(suggest("H100-SXM", ["h100_pcie", "h100_sxm"]).unwrap(), "did you mean \"h100_sxm\"?");
        assert_eq!(suggest("zebra", ["fast", "cheap"]).unwrap(), "known are fast, cheap");
        assert_eq!(suggest("zebra", ["fast"]).unwrap(), "the only one is \"fast\"");
        assert_eq!(suggest("zebra", []), None);
    }

    #[test]
    fn the_beginning_of_a_name_is_short_for_those_that_have_it() {
        let cards = ["h100_sxm", "h100_pcie", "l40s"];
        assert_eq!(suggest("H100", cards).unwrap(), "did you mean \"h100_sxm\" or \"h100_pcie\"?");
        assert_eq!(
            suggest("h1", cards).unwrap(),
            "known are h100_sxm, h100_pcie, l40s",
            "too little to tell"
        );
        let many = ["node-1-x", "node-2-x", "node-3-x", "node-4-x", "node-5-x"];
        assert!(suggest("node", many).unwrap().starts_with("known are "), "many are no help");
    }

    #[test]
    fn a_transposition_is_one_edit() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("fats"), &chars("fast")), 1);
        assert_eq!(distance(&chars("abc"), &chars("")), 3);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
    }
}
