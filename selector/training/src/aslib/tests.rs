use std::path::Path;

use super::*;

fn fixture() -> Scenario {
    Scenario::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/aslib/fixture")).unwrap()
}

#[test]
fn a_scenario_is_read() {
    let scenario = fixture();
    assert_eq!(scenario.name, "GEARSHIFT-FIXTURE");
    assert_eq!(scenario.algorithms, ["exact", "greedy", "local"]);
    assert_eq!((scenario.features.len(), scenario.features[0].len()), (90, 3));
    assert!(scenario.par10.iter().flatten().any(|&time| time == 600.0), "a timeout counts ten cutoffs");
    let density: f64 = scenario.features.iter().map(|features| features[1]).sum::<f64>() / 90.0;
    assert!((scenario.features[7][1] - density).abs() < 1e-9, "a missing feature is the mean");
}

#[test]
fn selectors_lie_between_single_and_virtual_best() {
    let report = evaluate(&fixture(), 1);
    assert_eq!(report, evaluate(&fixture(), 1));
    let of = |name: &str| report.selectors.iter().find(|figure| figure.name == name).unwrap();
    assert_eq!((of("single_best").gap_closed, of("virtual_best").gap_closed), (0.0, 1.0));
    for (name, least) in [("isac", 0.2), ("alors", 0.5), ("rf_raw", 0.5)] {
        let gap = of(name).gap_closed;
        assert!(gap > least && gap <= 1.0, "{name} {gap}");
    }
    assert!(document(&report).as_str().contains("| rf_raw |"));
}
