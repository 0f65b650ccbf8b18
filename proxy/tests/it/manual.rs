//! What the command line says of itself: help, completions, manual pages.

use std::process::Command;

fn gearshift(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gearshift")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The subcommands, as the help lists them.
fn subcommands() -> Vec<String> {
    let (_, help) = gearshift(&["--help"]);
    let listed = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    // Continued descriptions are indented deeper.
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let (code, help) = gearshift(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    assert!(subcommands().len() > 5, "{help}");
}

#[test]
fn every_subcommand_shows_examples_in_its_help() {
    for name in subcommands().iter().filter(|name| *name != "help") {
        shows_examples(&[name]);
    }
    for verb in ["verify", "schema", "list", "activate", "rollback", "newest"] {
        shows_examples(&["bundle", verb]);
    }
    for verb in ["status", "pause", "resume"] {
        shows_examples(&["controller", verb]);
    }
}

#[track_caller]
fn shows_examples(command: &[&str]) {
    let (code, help) = gearshift(&[command, &["--help"]].concat());
    let example = format!("Examples:\n  gearshift {}", command.join(" "));
    assert!(code == Some(0) && help.contains(&example) && help.contains("Exit codes: 0"), "{help}");
}

/// What `check` finds is where its help says.
#[test]
fn findings_are_under_the_key_of_the_example() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yaml");
    std::fs::write(&file, "backends: []\n").unwrap();
    let (_, help) = gearshift(&["check", "--help"]);
    let key = help.split("jq '.").nth(1).unwrap().split('[').next().unwrap();
    let (_, said) = gearshift(&["check", "--output", "json", file.to_str().unwrap()]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(!said[key].as_array().unwrap().is_empty(), "{key}: {said}");
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good.yaml", "backends: [{url: 'http://a'}]\n");
    let bad = file("bad.yaml", "backends: []\n");
    let nobody = "http://127.0.0.1:1";
    for (arguments, expected) in [
        (vec!["--version"], 0),
        (vec!["check", &good], 0),
        (vec!["check", &bad], 1),
        (vec!["check", "--output", "json", &bad], 1),
        (vec!["serve", "--config", &bad], 1),
        (vec!["explain", "--admin", nobody], 1),
        (vec!["controller", "--admin", nobody], 1),
        (vec!["controller", "pause", "--admin", nobody, "--token", "x"], 1),
        (vec!["controller", "--admin", nobody, "resume", "--output", "json"], 1),
        (vec!["bundle", "activate", "a b", "--admin", nobody], 1),
        (vec!["bundle", "list", "/dev/null/nowhere"], 1),
        (vec![], 2),
        (vec!["sevre"], 2),
        (vec!["check"], 2),
        (vec!["check", &good, "--output", "yaml"], 2),
    ] {
        assert_eq!(gearshift(&arguments).0, Some(expected), "{arguments:?}");
    }
}

/// Every command that reports something; `serve` logs, `completions` and `man` write for shells and man.
#[test]
fn reports_come_as_json_too() {
    for arguments in [
        vec!["check"],
        vec!["advise"],
        vec!["explain"],
        vec!["shift"],
        vec!["controller"],
        vec!["controller", "status"],
        vec!["bundle", "list"],
        vec!["bundle", "verify"],
        vec!["bundle", "schema"],
        vec!["bundle", "activate"],
        vec!["bundle", "rollback"],
        vec!["bundle", "newest"],
    ] {
        let (_, help) = gearshift(&[&arguments[..], &["--help"]].concat());
        assert!(help.contains("--output <OUTPUT>"), "{arguments:?}: {help}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = gearshift(&["bundle", "list", folder.path().to_str().unwrap(), "--output", "json"]);
    assert_eq!((code, said.trim()), (Some(0), r#"{"bundles":[]}"#));
}

/// Nothing here is a terminal.
#[test]
fn there_are_no_colours_but_on_a_terminal() {
    let (_, help) = gearshift(&["--help"]);
    assert!(!help.contains('\u{1b}'), "{help:?}");
}

#[test]
fn every_shell_completes_every_subcommand() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, script) = gearshift(&["completions", shell]);
        assert_eq!(code, Some(0));
        for name in subcommands() {
            assert!(script.contains(&name), "{shell} does not know {name}");
        }
    }
}

#[test]
fn every_subcommand_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let (code, said) = gearshift(&["man", "--out", pages.to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("man"), "{said}");
    for name in subcommands() {
        // clap gives no page to its own `help`.
        let page = pages.join(format!("gearshift-{name}.1"));
        assert!(name == "help" || page.is_file(), "{}", page.display());
    }
    let (_, page) = gearshift(&["man"]);
    assert!(page.contains(".TH gearshift 1"), "{page}");
    let (code, _) = gearshift(&["man", "--out", "/dev/null/nowhere"]);
    assert_eq!(code, Some(1));
}
