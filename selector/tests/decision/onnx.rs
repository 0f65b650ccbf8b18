//! ONNX Runtime is optional: what cannot be loaded is an error, never an abort.

use std::{fs, path::Path, sync::OnceLock};

use gearshift_selector::OnnxRuntime;

/// ONNX Runtime where there is one. Loaded once a process, after everything has been refused that is none.
pub(crate) fn runtime() -> Option<&'static OnnxRuntime> {
    static RUNTIME: OnceLock<Option<OnnxRuntime>> = OnceLock::new();
    let load = || {
        refuses_everything_else();
        let real = std::env::var_os("ORT_DYLIB_PATH")?;
        Some(OnnxRuntime::load(Path::new(&real)).unwrap())
    };
    RUNTIME.get_or_init(load).as_ref()
}

fn refuses_everything_else() {
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
}

#[test]
fn loads_a_real_library_and_refuses_everything_else() {
    let Some(runtime) = runtime() else {
        eprintln!("SKIPPED: loading a real ONNX Runtime; set ORT_DYLIB_PATH to libonnxruntime.so to run it");
        return;
    };
    eprintln!("{}", runtime.version());
    assert!(!runtime.version().is_empty());
    let again = std::env::var_os("ORT_DYLIB_PATH").unwrap();
    assert!(OnnxRuntime::load(Path::new(&again)).is_err(), "once a process");
}
