//! The command as it runs: one at a time, and ended at any time.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

#[test]
fn it_says_a_line_a_step_is_alone_and_ends_at_sigterm() {
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        eprintln!("SKIPPED: gearshift-train watch; set ORT_DYLIB_PATH to libonnxruntime.so to run it");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (rows, models) = (folder.path().join("rows"), folder.path().join("models"));
    std::fs::create_dir_all(&rows).unwrap();
    std::fs::create_dir_all(&models).unwrap();
    let watch = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gearshift-train"));
        command.arg("watch").arg("--from").arg(&rows).arg("--models").arg(&models).args(more);
        command
    };
    let mut first = watch(&["--every", "1h", "--output", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (&line["phase"], &line["said"]),
        (&"waiting".into(), &"waiting: 0 of 2000 new answers".into())
    );
    let second = watch(&["--once"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another `gearshift-train watch`"));
    assert!(Command::new("kill").arg(first.id().to_string()).status().unwrap().success());
    assert!(first.wait().unwrap().success());
    assert!(lines.next().unwrap().unwrap().contains("stopping"));
    // The lock went with it.
    let third = watch(&["--once"]).output().unwrap();
    assert!(third.status.success(), "{}", String::from_utf8_lossy(&third.stderr));
}
