//! ONNX Runtime, once a process: it allows no more.

use std::{path::Path, sync::OnceLock};

use gearshift_selector::OnnxRuntime;

/// `None`, said aloud, where there is none.
pub(crate) fn onnxruntime(what: &str) -> Option<&'static OnnxRuntime> {
    static RUNTIME: OnceLock<Option<OnnxRuntime>> = OnceLock::new();
    let load = || {
        let library = std::env::var_os("ORT_DYLIB_PATH")?;
        Some(OnnxRuntime::load(Path::new(&library)).unwrap())
    };
    let runtime = RUNTIME.get_or_init(load).as_ref();
    if runtime.is_none() {
        eprintln!("SKIPPED: {what}; set ORT_DYLIB_PATH to libonnxruntime.so to run it");
    }
    runtime
}
