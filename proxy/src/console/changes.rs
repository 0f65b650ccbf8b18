//! What differs between two configurations, for people.

use std::collections::BTreeMap;

use serde_json::Value;

/// Lines `- place: value` of what is no more and `+ place: value` of what is new, in the order of their places.
pub fn changes(old: &Value, new: &Value) -> Vec<String> {
    let (before, after) = (leaves(old), leaves(new));
    let mut places: Vec<&String> = before.keys().chain(after.keys()).collect();
    places.sort_unstable();
    places.dedup();
    let line =
        |sign: char, place: &str, value: Option<&String>| value.map(|it| format!("{sign} {place}: {it}"));
    places
        .into_iter()
        .filter(|place| before.get(*place) != after.get(*place))
        .flat_map(|place| [line('-', place, before.get(place)), line('+', place, after.get(place))])
        .flatten()
        .collect()
}

/// Every value that holds no others, by its place. Lists of things with an `id` are placed by it, so that one that comes in
/// first moves no other.
fn leaves(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk(value, String::new(), &mut found);
    found
}

fn walk(value: &Value, place: String, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| walk(value, below(name), found));
        }
        Value::Array(items) if !items.is_empty() => {
            for (number, item) in items.iter().enumerate() {
                let name = item["id"].as_str().map_or_else(|| number.to_string(), str::to_owned);
                walk(item, below(&name), found);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            found.insert(place, value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_said() {
        let old = json!({"routes": [{"id": "a", "objective": "cost"}, {"id": "b", "slo": null}], "same": {"x": [1]}});
        let new = json!({"routes": [{"id": "new", "objective": "energy"}, {"id": "a", "objective": "latency"}],
            "same": {"x": [1]}});
        assert_eq!(
            changes(&old, &new),
            [
                "- routes.a.objective: \"cost\"",
                "+ routes.a.objective: \"latency\"",
                "- routes.b.id: \"b\"",
                "+ routes.new.id: \"new\"",
                "+ routes.new.objective: \"energy\"",
            ]
        );
        assert!(changes(&new, &new).is_empty());
    }
}
