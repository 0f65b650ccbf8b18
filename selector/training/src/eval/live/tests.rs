//! Made-up traffic whose truth is known, judged.

use super::*;
use crate::live::{journeys, made};

/// Mostly the least predicted time, a fifth at random.
fn greedy(e2e_s: &[f64; 3]) -> [f64; 3] {
    let best = (0..3).min_by(|&a, &b| e2e_s[a].total_cmp(&e2e_s[b])).unwrap();
    std::array::from_fn(|at| 0.2 / 3.0 + if at == best { 0.8 } else { 0.0 })
}

/// Made-up rows come twice a second.
fn quick() -> Settings {
    Settings { block_s: 5.0, ..Settings::default() }
}

#[test]
fn a_loss_is_what_came_over_what_the_best_was_expected_to_take() {
    let (all, _) = journeys(made::rows_by(50, 1, greedy));
    for journey in &all {
        let decided = Decided::new(journey).unwrap();
        let slower = made::FLEET[decided.chosen].2;
        assert!((decided.ln_ratio.exp() / slower).ln().abs() < 0.15, "{}", decided.ln_ratio.exp());
        let best = decided.e2e_s.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(
            (decided.cost() - decided.e2e_s[decided.chosen] * decided.ln_ratio.exp() / best).abs() < 1e-9
        );
    }
}

#[test]
fn the_reward_model_finds_out_who_is_slow_without_seeing_what_it_judges() {
    let (all, _) = journeys(made::rows_by(600, 1, greedy));
    let pairs: Vec<_> = all.iter().filter_map(|one| Some((one, Decided::new(one)?))).collect();
    let losses = expected(&pairs, 300, 1);
    assert_eq!(losses.len(), 300);
    let mut off = Vec::new();
    for ((_, decided), losses) in pairs[300..].iter().zip(&losses) {
        for (at, loss) in losses.iter().enumerate() {
            off.push((loss / decided.loss(at, made::FLEET[at].2)).ln().abs());
        }
    }
    let mean = off.iter().sum::<f64>() / off.len() as f64;
    assert!(mean < 0.1, "{mean}");
}

#[test]
fn the_calibrated_prior_is_found_better_than_one_that_believes_the_claims() {
    // Logged by who believes the claims: `b` claims to be the fastest and is slowest.
    let (all, left) = journeys(made::rows_by(1200, 1, greedy));
    let judged = Judged { journeys: &all, left: &left, new: None, running: None, trained_until_s: None };
    let report = judge(&judged, &Options { held_out: 0.5, estimate: quick(), ..Options::default() }).unwrap();
    let pair = report.differences.iter().find(|pair| pair.one == "running" && pair.than == "logged").unwrap();
    assert!(pair.difference.ci95.low > 0.1, "{pair:?}");
    let running = &report.policies[0];
    let tpot = running.tpot.unwrap();
    assert!(tpot.mape < 0.12, "calibrated: {tpot:?}");
    assert!(
        report.policies[1].tpot.unwrap().mape > tpot.mape,
        "as predicted without: half of it is off by half"
    );
    assert!(report.verdict.is_none() && (590..=600).contains(&report.rows.judged));
    // The truth: the least of what each really takes, over what the best claims to.
    let pairs: Vec<Decided> = all[600..].iter().filter_map(Decided::new).collect();
    let best = |decided: &Decided| {
        (0..3).map(|at| decided.loss(at, made::FLEET[at].2)).fold(f64::INFINITY, f64::min)
    };
    let truth = pairs.iter().map(best).sum::<f64>() / pairs.len() as f64;
    assert!((running.loss.value / truth - 1.0).abs() < 0.06, "{} {truth}", running.loss.value);
}

#[test]
fn what_a_bundle_chose_is_held_against_what_was_there_before() {
    // A bundle that sends everything to the slow one comes in half-way.
    let mut rows = made::rows_by(400, 1, greedy);
    let bad = |seed| made::rows_by(400, seed, |_| [0.05, 0.9, 0.05]);
    let good = |seed| {
        made::rows_by(400, seed, |e2e_s| {
            let true_s: [f64; 3] = std::array::from_fn(|at| e2e_s[at] * made::FLEET[at].2);
            greedy(&true_s)
        })
    };
    let later = |mut rows: Vec<gearshift_perfdb::Observation>| {
        for row in &mut rows {
            row.at_unix_s = row.at_unix_s.map(|at| at + 1000);
            row.live.as_deref_mut().unwrap().bundle = Some("new".into());
        }
        rows
    };
    let of = |rows: &[gearshift_perfdb::Observation], after| {
        let (all, _) = journeys(rows.iter().cloned().chain(later(after)).collect());
        regret(&all, None, "new", &quick()).unwrap()
    };
    let (worse, count) = of(&rows, bad(2));
    assert!(worse.ci95.low > 0.2 && count == 400, "{worse:?}");
    let (fine, _) = of(&rows, good(3));
    // It explores a fifth, which the policy before, as it is replayed, does not.
    assert!(fine.ci95.low < 0.12, "{fine:?}");
    rows.truncate(20);
    let (all, _) = journeys(rows);
    assert!(regret(&all, None, "new", &quick()).is_err(), "nothing of it yet");
    let (all, _) = journeys(later(good(3)));
    let short = regret(&all, None, "new", &Settings::default()).unwrap_err().to_string();
    assert!(short.contains("too few"), "{short}");
}

#[test]
fn an_engine_that_comes_back_is_known_and_a_cache_of_another_size_makes_none_anew() {
    let mut rows = made::rows(600, 1);
    for (at, row) in (0..).zip(&mut rows) {
        row.facts.kv_tokens = Some(400_000 + at);
        if (200..400).contains(&at) {
            row.action = "other".into();
        }
    }
    let back_s = rows[400].at_unix_s.unwrap() as f64 + 3.0;
    let (all, _) = journeys(rows);
    let told = replayed(&mut Arm::new(None, f64::INFINITY).unwrap(), &all).unwrap();
    let slow = all.iter().zip(&told).filter(|(one, _)| one.live().backend == "b" && one.sent_s > back_s);
    for (journey, told) in slow.take(5) {
        let off = told.as_ref().unwrap().predicted.1 / journey.tpot_s.unwrap();
        assert!((0.75..1.35).contains(&off), "{off}: its pace, twice what is claimed, was found out before");
    }
}

#[test]
fn what_failed_or_broke_a_limit_costs() {
    use gearshift_perfdb::Ended;
    let mut rows = made::rows(5, 1);
    let e2e_s = rows[1].outcome.e2e_s;
    made::end(&mut rows[0], Ended::UpstreamError, 0.001);
    // What it would delay others by is most of what it would cost: it failed all the same.
    rows[0].live.as_deref_mut().unwrap().candidates.scores = vec![100.0; 3];
    made::end(&mut rows[2], Ended::Cancelled, 0.01);
    made::end(&mut rows[4], Ended::Cancelled, 1e3);
    let mut live = |at: usize, change: &dyn Fn(&mut gearshift_perfdb::Live)| {
        change(rows[at].live.as_deref_mut().unwrap());
    };
    live(1, &|live| live.limit_e2e_s = e2e_s.map(|e2e_s| e2e_s / 2.0));
    live(3, &|live| live.considered = 17);
    let (all, _) = journeys(rows);
    let of = |number: u32| {
        let journey = all.iter().find(|one| one.row.provenance == format!("made up {number}")).unwrap();
        Decided::new(journey)
    };
    assert_eq!(of(0).unwrap().cost(), MOST);
    let broken = of(1).unwrap();
    let time = broken.e2e_s[broken.chosen] * broken.ln_ratio.exp()
        / broken.e2e_s.iter().copied().fold(f64::INFINITY, f64::min);
    assert!((broken.cost() - (time + 2.0).min(MOST)).abs() < 1e-9, "{} {time}", broken.cost());
    assert!(broken.loss(broken.chosen, 0.01) < 1.0, "where it is met it costs nothing");
    // Who gave up at once is not the fastest.
    assert_eq!(of(2).unwrap().ln_ratio, 0.0);
    assert!(of(3).is_none(), "its propensity is over candidates that the row does not have");
    assert_eq!(of(4).unwrap().cost(), MOST, "who gave up after long waiting would have waited longer");
}

#[test]
fn the_report_is_written_with_its_plots() {
    let (all, left) = journeys(made::rows_by(300, 1, greedy));
    let judged = Judged { journeys: &all, left: &left, new: None, running: None, trained_until_s: None };
    let report = judge(&judged, &Options { held_out: 0.5, estimate: quick(), ..Options::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let written = write(&report, folder.path()).unwrap();
    let text = std::fs::read_to_string(written.last().unwrap()).unwrap();
    assert!(text.contains("| running | logged |") && text.contains("live-calibration.svg"), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&written[0]).unwrap()).unwrap();
    assert_eq!(json["policies"][1]["name"], "logged");
    assert!(judge(&judged, &Options { held_out: 0.05, ..Options::default() }).is_err(), "too few");
}
