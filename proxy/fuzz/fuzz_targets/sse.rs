//! Any bytes, cut anywhere, as a stream of events: no byte is lost, added or moved, and no event that fits is torn.
//! Run with `cargo +nightly fuzz run sse` in `proxy/`.
#![no_main]

use bytes::Bytes;
use gearshift_proxy::{
    endpoint::StreamEnd,
    relay::{
        sse::{Aligner, Tally},
        usage::Seen,
    },
};

libfuzzer_sys::fuzz_target!(|input: (&[u8], Vec<u8>)| {
    let (stream, lengths) = input;
    let (mut aligner, mut passed, mut seen) = (Aligner::default(), Vec::new(), Seen::default());
    let mut tallies = [StreamEnd::Done, StreamEnd::Events(&["message_stop"])].map(|end| (Tally::default(), end));
    let mut rest = stream;
    let mut lengths = lengths.into_iter().map(usize::from);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(lengths.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        rest = after;
        let Some(whole) = aligner.push(Bytes::copy_from_slice(piece)) else { continue };
        assert!(whole.ends_with(b"\n\n") || whole.ends_with(b"\r\n\r\n"));
        for (tally, end) in &mut tallies {
            tally.count(&whole, *end);
        }
        seen.look(&whole);
        passed.extend_from_slice(&whole);
    }
    passed.extend(aligner.finish().into_iter().flatten());
    assert_eq!(passed, stream);
    seen.usage();
});
