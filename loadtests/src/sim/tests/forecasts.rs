//! A forecast is what then happens.

use proptest::prelude::*;

use super::fixture::{Case, Event, Record, cases, drive, happen, request, seconds, spec};
use crate::sim::{Engine, Fault, Forecast, Moment, Pace, SimRequest};

/// What becomes of `request` in `engine` if nothing else comes.
fn outcome(engine: &Engine, request: &SimRequest, at: Moment) -> Forecast {
    let mut engine = engine.clone();
    let record = drive(&mut engine, &[(at, Event::Submit(request.clone()))]);
    let after = |moment: Moment| moment.seconds_since(at);
    let Some((end, ..)) = record.ends().get(&request.id.0).copied() else { return Forecast::NEVER };
    let first = record.firsts().get(&request.id.0).copied();
    Forecast { ttft_s: first.map_or(f64::INFINITY, after), e2e_s: after(end) }
}

/// Without evictions, which a forecast does not foresee.
fn without_evictions() -> impl Strategy<Value = Case> {
    cases().prop_map(|mut case| {
        if case.spec.knobs.prefix_caching == Some(true) {
            case.spec.blocks = Some(10_000);
        }
        case
    })
}

proptest! {
    #[test]
    fn a_forecast_is_what_then_happens(
        case in without_evictions(), pace in prop_oneof![Just(Pace::Steps), Just(Pace::Skip)],
    ) {
        let mut engine = case.engine(pace);
        let mut outputs = Vec::new();
        for (at, event) in &case.events {
            engine.advance(*at, &mut outputs);
            if let Event::Submit(request) = event {
                let (forecast, outcome) = (engine.what_if(request, *at), outcome(&engine, request, *at));
                prop_assert!(
                    (forecast.ttft_s - outcome.ttft_s).abs() < 1e-8 || forecast.ttft_s == outcome.ttft_s,
                    "{} is forecast {:?}, gets {:?}", request.id.0, forecast, outcome
                );
                prop_assert!((forecast.e2e_s - outcome.e2e_s).abs() < 1e-8 || forecast.e2e_s == outcome.e2e_s, "{:?} {:?} {:?}", forecast, outcome, engine.totals());
            }
            let mut record = Record::default();
            happen(&mut engine, *at, event, &mut record);
        }
    }
}

#[test]
fn an_engine_that_does_not_answer_has_no_forecast() {
    let mut engine = Engine::new(&spec(Default::default()), Pace::Skip, 1).unwrap();
    let request = request(1, 1, 0, 100, 10);
    assert!(engine.what_if(&request, seconds(0.0)).e2e_s < 10.0);
    engine.set_fault(Fault::Hang, seconds(1.0));
    assert_eq!(engine.what_if(&request, seconds(2.0)), Forecast::NEVER);
    engine.clear_fault(&Fault::Hang, seconds(3.0));
    assert!(engine.what_if(&request, seconds(3.0)).e2e_s < 10.0);
    engine.sleep(seconds(4.0));
    assert_eq!(engine.what_if(&request, seconds(5.0)), Forecast::NEVER);
    engine.wake(seconds(10.0));
    let waking = engine.what_if(&request, seconds(10.0));
    assert!(waking.ttft_s > 3.0 && waking.e2e_s < 13.0);
    engine.crash(seconds(11.0));
    assert_eq!(engine.what_if(&request, seconds(12.0)), Forecast::NEVER);
}
