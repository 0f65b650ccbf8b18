//! Bundles that read descriptions: looked up in the bundle, or read by the text encoder beside it.

use std::fs;

use rustix::process::Signal;

use super::{
    PATIENT, Stage,
    make::{KNOWN_TEXT, Made, TinyEncoder},
};
use crate::common::within;

const WITHOUT: &str = "descriptions_without_vector";

/// Describes the card in other words, and waits until that is taken over.
async fn describe(stage: &Stage, before: &str, after: &str) {
    let file = fs::read_to_string(stage.proxy.config_file()).unwrap();
    assert!(file.contains(before), "{file}");
    stage.proxy.write_config(&file.replace(before, after));
    stage.proxy.signal(Signal::HUP);
    let seen = async || stage.proxy.operate("/config").await.text().contains(after);
    within("the reload", async { while !seen().await {} }).await;
}

#[tokio::test]
async fn descriptions_are_looked_up_or_read() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    let encoder = TinyEncoder::new();
    encoder.put_into(&stage.models());
    // Without a vector of the card it would say NaN.
    Made::of_texts(1, &encoder, true).drop_into(&stage.models(), "reader");
    stage.decides("reader").await;
    assert_eq!(stage.ask().await, "none");
    assert_eq!(stage.bundles().await["active"][WITHOUT], 0);

    describe(&stage, "A card.", "A new card.").await;
    assert_eq!(
        (stage.ask().await, stage.bundles().await["active"][WITHOUT].as_u64()),
        ("none".into(), Some(0))
    );
    fs::remove_dir_all(stage.models().join("encoder")).unwrap();
    describe(&stage, "A new card.", KNOWN_TEXT).await;
    assert_eq!(stage.ask().await, "none", "this one it brought along");
}

#[tokio::test]
async fn without_the_encoder_the_numbers_count_and_it_is_said() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    fs::create_dir(stage.models()).unwrap();
    Made::of_texts(1, &TinyEncoder::new(), false).drop_into(&stage.models(), "numbers");
    stage.decides("numbers").await;
    assert_eq!(stage.ask().await, "none");
    assert_eq!(stage.bundles().await["active"][WITHOUT], 2, "that of the model, and that of the card");
    Made::of_texts(2, &TinyEncoder::new(), true).drop_into(&stage.models(), "blind");
    let why = stage.stands("blind", "refused").await;
    assert!(why.contains("its memory is not finite"), "{why}");
    assert_eq!((stage.active().await, stage.ask().await), ("numbers".into(), "none".to_owned()));
}

#[tokio::test]
async fn a_damaged_encoder_is_said_and_changes_nothing() {
    let Some(mut stage) = Stage::set(PATIENT).await else { return };
    fs::create_dir(stage.models()).unwrap();
    Made::whole(1).drop_into(&stage.models(), "good");
    stage.decides("good").await;
    let encoder = TinyEncoder::new();
    let tokenizer = encoder.put_into(&stage.models()).join("tokenizer.json");
    let mut other = encoder.tokenizer.clone();
    other.push(b'\n');
    for damaged in [&other[..], &encoder.tokenizer[..20]] {
        fs::write(&tokenizer, damaged).unwrap();
        Made::of_texts(2, &encoder, false).drop_into(&stage.models(), "reader");
        let why = stage.stands("reader", "refused").await;
        assert!(why.starts_with("text encoder in ") && why.contains("fetch_encoder.py"), "{why}");
        assert_eq!((stage.active().await, stage.ask().await), ("good".into(), "none".to_owned()));
        fs::remove_dir_all(stage.models().join("reader")).unwrap();
        let listed = async || stage.bundles().await["bundles"].as_array().unwrap().len();
        within("it to go", async { while listed().await > 1 {} }).await;
    }
    fs::write(&tokenizer, &encoder.tokenizer).unwrap();
    Made::of_texts(2, &encoder, true).drop_into(&stage.models(), "reader");
    stage.decides("reader").await;

    // It is damaged again when there is something new to read.
    fs::write(&tokenizer, &other).unwrap();
    describe(&stage, "A card.", "A new card.").await;
    stage.proxy.logged("the bundle cannot encode the fleet").await;
    assert_eq!(stage.ask().await, "no_bundle");
    describe(&stage, "A new card.", "A card.").await;
    assert_eq!(stage.ask().await, "none", "what it read before it knows");
}
