//! ONNX Runtime is optional: what cannot be loaded is an error, never an abort.

use std::{fs, path::Path};

use gearshift_selector::OnnxRuntime;

/// One test, as the library is loaded once a process and failures must come before a success.
#[test]
fn loads_a_real_library_and_refuses_everything_else() {
    let folder = std::env::temp_dir().join(format!("gearshift-onnx-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let garbage = folder.join("libgarbage.so");
    for content in [&b""[..], b"not a library", b"\x7fELF\x02\x01\x01 and then nothing of the kind"] {
        fs::write(&garbage, content).unwrap();
        let error = OnnxRuntime::load(&garbage).unwrap_err().to_string();
        assert!(error.contains("libgarbage.so"), "{error}");
    }
    fs::remove_dir_all(&folder).unwrap();
    assert!(OnnxRuntime::load(Path::new("/nonexistent/libonnxruntime.so")).is_err());
    assert!(OnnxRuntime::load(Path::new("")).is_err());

    let Some(real) = std::env::var_os("ORT_DYLIB_PATH") else {
        eprintln!("SKIPPED: loading a real ONNX Runtime; set ORT_DYLIB_PATH to libonnxruntime.so to run it");
        return;
    };
    let runtime = OnnxRuntime::load(Path::new(&real)).unwrap();
    eprintln!("{}", runtime.version());
    assert!(!runtime.version().is_empty());
    assert!(OnnxRuntime::load(Path::new(&real)).is_err(), "once a process");
}
