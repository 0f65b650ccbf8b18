//! What of a report of `gearshift-train eval` goes into a bundle's manifest, for people.

use serde_json::{Value, json};

use crate::Error;

/// The selector that a bundle is.
const LEARNER: &str = "metainf";
/// What is told of it.
const FIGURES: [&str; 5] = ["gap_closed", "accuracy", "within_2pct", "regret", "violations"];

/// The learner's figures on measured rows, where hardware, family or workload was held out. They are of bundles that were trained on the other rows
/// with the same recipe; one that is shipped has seen them all.
///
/// # Errors
/// Where it is no such report or that of a trial run, or has no such figures.
pub fn summary(report: &Value) -> Result<Value, Error> {
    if report["made"]["quick"] == true {
        return Err(Error::Failed("a trial run (`--quick`): its learner is another".to_owned()));
    }
    let splits = report["splits"].as_array().map(Vec::as_slice).unwrap_or_default();
    let measured: Vec<Value> = splits.iter().filter(|split| pooled(split)).filter_map(of_split).collect();
    if measured.is_empty() {
        let problem = format!("no evaluation: it has no figures of `{LEARNER}` on measured rows");
        return Err(Error::Failed(problem));
    }
    Ok(json!({
        "of": "bundles trained with this recipe on other rows than those they are asked about",
        "seeds": report["made"]["seeds"],
        "recipe": report["made"]["recipe"],
        "measured": measured,
    }))
}

/// All parts of a split together, in measured rows.
fn pooled(split: &Value) -> bool {
    let name = split["name"].as_str().unwrap_or_default();
    split["source"] == "measured" && !name.is_empty() && !name.contains(':')
}

fn of_split(split: &Value) -> Option<Value> {
    let told = split["selectors"].as_array()?.iter().find(|selector| selector["name"] == LEARNER)?;
    let mut summary = serde_json::Map::new();
    for fact in ["name", "protocol", "dataset", "actions", "objective", "contexts"] {
        summary.insert(fact.to_owned(), split[fact].clone());
    }
    // A thousandth is finer than any interval.
    let figures = FIGURES.iter().filter_map(|name| Some((name, told[*name].as_f64()?)));
    summary.extend(figures.map(|(name, figure)| ((*name).to_owned(), json!((figure * 1e3).round() / 1e3))));
    Some(Value::Object(summary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_out_of_measured_rows_is_told() {
        let split = |name: &str, source: &str| {
            let selectors = json!([{"name": "isac", "regret": 2.0}, {"name": "metainf", "regret": 1.021_64, "violations": null}]);
            json!({"name": name, "source": source, "objective": "latency", "contexts": 7, "selectors": selectors})
        };
        let splits = [
            split("unseen_gpu", "measured"),
            split("unseen_gpu", "simulated"),
            split("hardware:h200_sxm", "measured"),
        ];
        let summary =
            summary(&json!({"made": {"seeds": [1], "recipe": {"window": 3}}, "splits": splits})).unwrap();
        assert_eq!((&summary["seeds"], &summary["recipe"]["window"]), (&json!([1]), &json!(3)));
        let [only] = summary["measured"].as_array().unwrap().as_slice() else { panic!("{summary}") };
        assert_eq!((&only["regret"], &only["contexts"]), (&json!(1.022), &json!(7)));
        assert!(only.get("violations").is_none());
    }

    #[test]
    fn another_file_is_no_evaluation() {
        assert!(summary(&json!({"splits": []})).is_err());
        assert!(summary(&json!([1])).is_err());
    }

    #[test]
    fn a_trial_run_is_told_of_no_bundle() {
        let split = json!({"name": "unseen_gpu", "source": "measured", "selectors": [{"name": "metainf", "regret": 1.02}]});
        let report = |quick: bool| json!({"made": {"quick": quick}, "splits": [split]});
        assert!(summary(&report(false)).is_ok());
        assert!(summary(&report(true)).unwrap_err().to_string().contains("--quick"));
    }
}
