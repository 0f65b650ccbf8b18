//! Any text as a metrics page: every sample's parts are parts of the page, and a page cut short has no sample that
//! the whole page has not. Run with `cargo +nightly fuzz run exposition` in `proxy/`.
#![no_main]

// Private to the fleet, and without dependencies of its own.
#[path = "../../src/fleet/exposition.rs"]
mod exposition;

use exposition::{Sample, samples};

libfuzzer_sys::fuzz_target!(|input: (&str, u16)| {
    let (page, cut) = input;
    let name = |sample: &Sample<'_>| (sample.name.to_owned(), sample.value.to_bits());
    let whole: Vec<_> = samples(page, "").collect();
    for sample in &whole {
        assert!(page.contains(sample.name) && !sample.name.contains('{'));
        sample.label("engine");
    }
    assert!(samples(page, "vllm:").all(|sample| sample.name.starts_with("vllm:")));
    let cut = page.floor_char_boundary(usize::from(cut));
    let part: Vec<_> = samples(&page[..cut], "").map(|sample| name(&sample)).collect();
    assert!(whole.iter().map(name).take(part.len()).eq(part));
});
