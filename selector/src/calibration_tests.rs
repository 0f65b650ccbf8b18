use super::*;

const NOW: Moment = Moment(1_000_000_000);
const HERE: At = At { ttft: -2.0, tpot: 1.0 };

fn parts(ttft: f64, tpot: f64) -> Sample {
    Sample::Parts { ttft: Some(ttft), tpot: Some(tpot) }
}

/// After so many outcomes, one a second.
fn taught(count: u32, ratio: f64) -> (Calibration, Moment) {
    let (calibration, mut now) = (Calibration::new(), NOW);
    teach(&calibration, &mut now, count, ratio);
    (calibration, now)
}

fn teach(calibration: &Calibration, now: &mut Moment, count: u32, ratio: f64) {
    for _ in 0..count {
        *now = now.after_seconds(1.0);
        calibration.learn(parts(ratio, ratio), &HERE, *now, *now);
    }
}

#[test]
fn the_two_parts_are_learned_apart() {
    let calibration = Calibration::new();
    (0..60).for_each(|_| calibration.learn(parts(3.0, 0.5), &HERE, NOW, NOW));
    let (ttft, tpot, samples) = calibration.read();
    assert!((ttft - 3.0).abs() < 0.03 && (tpot - 0.5).abs() < 0.005, "{ttft} {tpot}");
    assert_eq!(samples, 60);
}

#[test]
fn whole_answers_teach_the_part_that_dominates() {
    let calibration = Calibration::new();
    for _ in 0..80 {
        let (ttft, tpot) = calibration.factors(&HERE);
        // The prior says 0.1 s + 0.9 s; really decode takes twice that.
        let predicted = 0.1 * ttft + 0.9 * tpot;
        let ratio = (0.1 + 1.8) / predicted;
        calibration.learn(Sample::Whole { ratio, ttft_share: 0.1 * ttft / predicted }, &HERE, NOW, NOW);
    }
    let (ttft, tpot) = calibration.factors(&HERE);
    assert!((0.1 * ttft + 0.9 * tpot - 1.9).abs() < 0.02, "{ttft} {tpot}");
    assert!(tpot > 1.9, "{tpot}");
}

#[test]
fn an_engine_slow_in_company_is_not_held_to_be_slow_alone() {
    let calibration = Calibration::new();
    let mut now = NOW;
    for turn in 0..400u32 {
        now = now.after_seconds(0.5);
        let batch = f64::from(1 + turn * 7 % 32);
        // Time per token in proportion to the batch, where the prior has it stand still.
        calibration.learn(parts(1.0, batch / 4.0), &At::new(0.1, batch), now, now);
    }
    let tpot = |batch: f64| calibration.factors(&At::new(0.1, batch)).1;
    assert!((0.5..1.4).contains(&tpot(4.0)), "{}", tpot(4.0));
    assert!((5.5..8.5).contains(&tpot(28.0)), "{}", tpot(28.0));
}

#[test]
fn doubt_is_noise_plus_what_may_have_changed_since() {
    let calibration = Calibration::new();
    assert_eq!(calibration.doubt(NOW), 0.0);
    (0..200).for_each(|_| calibration.learn(parts(2.0, 2.0), &HERE, NOW, NOW));
    assert!(calibration.doubt(NOW) < 0.01, "a steady engine is known well: {}", calibration.doubt(NOW));
    let later = NOW.after_seconds(60.0);
    assert!((calibration.doubt(later) - DRIFT).abs() < 0.01, "{}", calibration.doubt(later));
    let noisy = Calibration::new();
    for turn in 0..200 {
        noisy.learn(if turn % 2 == 0 { parts(1.0, 1.0) } else { parts(3.0, 3.0) }, &HERE, NOW, NOW);
    }
    assert!((0.08..0.25).contains(&noisy.doubt(NOW)), "{}", noisy.doubt(NOW));
}

#[test]
fn what_is_not_usual_of_an_engine_fades_in_silence_within_a_minute() {
    let (calibration, mut now) = taught(200, 1.0);
    teach(&calibration, &mut now, 30, 3.0);
    let (ttft, tpot) = calibration.drift();
    assert!(ttft > 2.5 && tpot > 2.5, "{ttft} {tpot}");
    let after = |silence_s| calibration.factors_after(&HERE, silence_s, (0.0, 0.0)).1;
    assert!(after(0.0) > 2.7 && after(60.0) < 1.35, "{} {}", after(0.0), after(60.0));
    // It has recovered: one outcome says so.
    now = now.after_seconds(60.0);
    calibration.learn(parts(1.0, 1.0), &HERE, now, now);
    assert!(calibration.factors(&HERE).1 < 1.5, "{:?}", calibration.factors(&HERE));
}

#[test]
fn what_is_usual_of_an_engine_fades_late_and_never_makes_it_better_than_a_stranger() {
    let (calibration, _) = taught(300, 8.0);
    let after = |silence_s| calibration.factors_after(&HERE, silence_s, (0.5f64.ln(), 0.5f64.ln())).0;
    assert!(after(60.0) > 4.0, "{}", after(60.0));
    assert!((0.5..0.6).contains(&after(6000.0)), "{}", after(6000.0));
    let (quick, _) = taught(300, 0.25);
    assert!(
        (quick.factors_after(&HERE, 6000.0, (0.0, 0.0)).0 - 0.25).abs() < 0.01,
        "nothing speaks against it"
    );
}

#[test]
fn garbage_cannot_banish_a_backend() {
    let calibration = Calibration::new();
    (0..1000).for_each(|_| calibration.learn(parts(1e30, f64::NAN), &HERE, NOW, NOW));
    let (ttft, tpot) = calibration.factors(&HERE);
    assert!((900.0..1100.0).contains(&ttft) && tpot == 1.0, "{ttft} {tpot}");
}
