//! Both paces are one engine.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fixture::{Event, cases, drive};
use crate::sim::{Pace, SimWork};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn skipping_puts_out_the_same_at_the_same_moments(case in cases()) {
        let (mut steps, mut skip) = (case.engine(Pace::Steps), case.engine(Pace::Skip));
        let (fine, coarse) = (drive(&mut steps, &case.events), drive(&mut skip, &case.events));
        prop_assert_eq!(&fine.refusals, &coarse.refusals);
        prop_assert_eq!(fine.firsts(), coarse.firsts());
        prop_assert_eq!(fine.ends(), coarse.ends());
        prop_assert_eq!(&fine.progress, &coarse.progress);
        prop_assert_eq!(&fine.gauges, &coarse.gauges);
        let (fine, coarse) = (steps.totals(), skip.totals());
        prop_assert_eq!(fine.steps, coarse.steps);
        prop_assert_eq!(fine.generation_tokens, coarse.generation_tokens);
        prop_assert_eq!(fine.accepted_tokens, coarse.accepted_tokens);
        prop_assert_eq!((fine.prefix_queries, fine.prefix_hits), (coarse.prefix_queries, coarse.prefix_hits));
        prop_assert!((fine.joules - coarse.joules).abs() < 1e-6 * fine.joules.max(1.0));
        prop_assert!((fine.busy_s - coarse.busy_s).abs() < 1e-9 * fine.busy_s.max(1.0));
    }

    #[test]
    fn nothing_is_lost(case in cases(), pace in prop_oneof![Just(Pace::Steps), Just(Pace::Skip)]) {
        let mut engine = case.engine(pace);
        let record = drive(&mut engine, &case.events);
        let refused: BTreeSet<_> = record.refusals.iter().map(|(id, _)| id.0).collect();
        let (tokens, ends) = (record.tokens(), record.ends());
        let mut cancelled = BTreeSet::new();
        for (_, event) in &case.events {
            if let Event::Cancel(id) = event {
                cancelled.insert(id.0);
            }
        }
        for (_, event) in &case.events {
            let Event::Submit(request) = event else { continue };
            let id = request.id.0;
            if refused.contains(&id) || cancelled.contains(&id) {
                continue;
            }
            let answer = if request.work == SimWork::Encode { 0 } else { request.output_tokens };
            prop_assert!(ends.contains_key(&id), "request {id} ends");
            prop_assert_eq!(tokens.get(&id).copied().unwrap_or(0), answer);
        }
        prop_assert!(record.outputs.is_sorted_by_key(|output| output.at));
        engine.assert_empty();
    }
}
