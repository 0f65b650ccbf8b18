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
