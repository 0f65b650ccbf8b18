//! The text encoder, on real descriptions.

use gearshift_selector::TextEncoder;

use crate::onnx;

/// Where `tools/fetch_encoder.py` put it.
fn encoder() -> Option<TextEncoder> {
    let cache = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/models/encoder");
    let found = std::fs::read_dir(cache).ok().and_then(|entries| {
        entries.flatten().map(|entry| entry.path()).find(|path| path.join("model.onnx").is_file())
    });
    let Some((directory, runtime)) = found.zip(onnx::runtime()) else {
        eprintln!("SKIPPED: the text encoder; run tools/fetch_encoder.py and set ORT_DYLIB_PATH to run it");
        return None;
    };
    Some(TextEncoder::open(&directory, runtime).unwrap())
}

fn likeness(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn like_descriptions_are_nearer_than_unlike_ones() {
    let Some(mut encoder) = encoder() else { return };
    assert_eq!(encoder.width(), 384);
    let h100 = "NVIDIA H100 SXM, a Hopper data-centre GPU with 80 GB of HBM3";
    let h200 = "NVIDIA H200 SXM: Hopper GPU for data centres, 141 GB HBM3e memory";
    let cpu = "Apple M2 laptop processor without a discrete graphics card";
    let [h100, h200, cpu] = [h100, h200, cpu].map(|text| encoder.encode(text).unwrap());
    assert!((likeness(&h100, &h100) - 1.0).abs() < 1e-5, "unit length");
    let (like, unlike) = (likeness(&h100, &h200), likeness(&h100, &cpu));
    eprintln!("H100 and H200 {like:.2}, H100 and M2 {unlike:.2}");
    assert!(like > unlike + 0.2, "{like} {unlike}");
    assert_eq!(encoder.encode("").unwrap(), vec![0.0; 384]);
    let long = "tokens ".repeat(2000);
    assert!(encoder.encode(&long).unwrap().iter().all(|x| x.is_finite()), "long texts are cut");
}

#[test]
fn what_is_no_encoder_is_an_error_that_says_what_to_do() {
    let Some(runtime) = onnx::runtime() else { return };
    let nothing = std::path::Path::new("/nonexistent/encoder");
    let error = TextEncoder::open(nothing, runtime).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/encoder") && error.contains("fetch_encoder"), "{error}");
}
