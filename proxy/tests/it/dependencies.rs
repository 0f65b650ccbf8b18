//! What must not link into the proxy.

use std::process::Command;

/// Training code, dataframes and their like: they belong to the offline tools. Parquet is there for its writer.
const OFFLINE: [&str; 8] = [
    "burn",
    "datafusion",
    "polars",
    "smartcore",
    "forust",
    "plotters",
    "gearshift-training",
    "gearshift-loadtests",
];

#[test]
fn nothing_of_the_offline_tools_links_into_the_proxy() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "gearshift", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let (tree, problem) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{problem}");
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains(&"gearshift-selector") && crates.contains(&"hyper"), "{tree}");
    for name in crates {
        let offline =
            OFFLINE.iter().find(|offline| name == **offline || name.starts_with(&format!("{offline}-")));
        assert_eq!(offline, None, "{name} links into gearshift; cargo tree -p gearshift -i {name}");
    }
}
