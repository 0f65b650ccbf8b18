//! What follows from what was seen: pure, so that every order of events can be tried.

use super::{Phase, Standing};

/// What was found out.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// In [`Phase::Waiting`]: a bundle was trained and judged; its name where it is better for sure and lies there.
    Trained(Option<String>),
    /// How the bundle stands at every Gearshift.
    Stands(Standing),
    /// On probation, at a look: the lower end of the interval of what it costs more than the one before, in shares; and how many decisions
    /// say so.
    Costs {
        /// Lower end of the interval.
        at_least: f64,
        /// Decisions.
        decisions: usize,
    },
    /// On probation: rows say nothing yet, or it is no time for a look.
    Unsaid(String),
    /// Nothing to do is left in taking it back.
    TakenBack,
}

/// Bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Next {
    /// A bundle that is not taken up for so long is given up, and a probation ends, seconds.
    pub patience_s: f64,
    /// Decisions that end a probation.
    pub probation: usize,
    /// What a bundle may cost more for sure before it is taken back.
    pub margin: f64,
}

/// Decisions of the first look.
const FIRST_LOOK: usize = 100;

impl Next {
    /// Decisions at which it is looked again, after `looked`: twice as many, and at last as many as end the probation. Whoever looked
    /// at every new row would find the worst by chance some time.
    pub fn next_look(&self, looked: usize) -> usize {
        (2 * looked).max(FIRST_LOOK).min(self.probation)
    }

    /// How many looks there are at most.
    pub fn looks(&self) -> u32 {
        let mut at = FIRST_LOOK.min(self.probation);
        let mut looks = 1;
        while at < self.probation {
            (at, looks) = (self.next_look(at), looks + 1);
        }
        looks
    }
}

/// The phase after an event, and what is to be said. `running` is the bundle that decides now.
pub fn next(
    phase: &Phase,
    event: &Event,
    running: Option<&str>,
    now_s: f64,
    bounds: &Next,
) -> (Phase, String) {
    match (phase, event) {
        (Phase::Waiting, Event::Trained(Some(bundle))) => {
            let offered =
                Phase::Offered { bundle: bundle.clone(), before: running.map(str::to_owned), since_s: now_s };
            (offered, format!("offered {bundle}"))
        }
        (Phase::Waiting, Event::Trained(None)) => (Phase::Waiting, "nothing to offer".to_owned()),
        (Phase::Offered { bundle, before, since_s }, Event::Stands(standing)) => {
            offered(bundle, before.as_deref(), *since_s, standing, now_s, bounds)
        }
        (Phase::Probation { bundle, .. }, Event::Stands(standing)) => match standing {
            Standing::Active | Standing::Unknown => (phase.clone(), format!("{bundle} decides")),
            // After a restart it is tried again.
            Standing::Shadow => (phase.clone(), format!("{bundle} is in shadow again")),
            Standing::Refused(reason) => (Phase::Waiting, format!("{bundle} was dropped: {reason}")),
            Standing::Available | Standing::Gone => {
                (Phase::Waiting, format!("{bundle} no longer decides: somebody else's wish"))
            }
        },
        (Phase::Probation { bundle, before, since_s, .. }, Event::Costs { at_least, decisions }) => {
            let (cost, count) = (100.0 * at_least, *decisions);
            if *at_least > bounds.margin {
                let because =
                    format!("over {count} decisions it cost at least {cost:.1} % more than the one before");
                let back = Phase::TakingBack {
                    bundle: bundle.clone(),
                    before: before.clone(),
                    because: because.clone(),
                };
                (back, format!("{bundle} is taken back: {because}"))
            } else if count >= bounds.probation || now_s - since_s > bounds.patience_s {
                (Phase::Waiting, format!("{bundle} stays: over {count} decisions it is not worse for sure"))
            } else {
                let (bundle, before, since_s) = (bundle.clone(), before.clone(), *since_s);
                let said = format!("{bundle} on probation: {count} of {} decisions", bounds.probation);
                (Phase::Probation { bundle, before, since_s, looked: count }, said)
            }
        }
        (Phase::Probation { bundle, since_s, .. }, Event::Unsaid(why)) => {
            if now_s - since_s > bounds.patience_s {
                (Phase::Waiting, format!("{bundle} stays unjudged, its probation is over: {why}"))
            } else {
                (phase.clone(), format!("{bundle} on probation: {why}"))
            }
        }
        (Phase::TakingBack { bundle, .. }, Event::TakenBack) => {
            (Phase::Waiting, format!("{bundle} was taken back"))
        }
        // What does not concern the phase changes nothing.
        (Phase::Waiting | Phase::TakingBack { .. }, Event::Stands(_))
        | (
            Phase::Waiting | Phase::Offered { .. } | Phase::TakingBack { .. },
            Event::Costs { .. } | Event::Unsaid(_),
        )
        | (Phase::Offered { .. } | Phase::Probation { .. } | Phase::TakingBack { .. }, Event::Trained(_))
        | (Phase::Waiting | Phase::Offered { .. } | Phase::Probation { .. }, Event::TakenBack) => {
            (phase.clone(), String::new())
        }
    }
}

fn offered(
    bundle: &str,
    before: Option<&str>,
    since_s: f64,
    standing: &Standing,
    now_s: f64,
    bounds: &Next,
) -> (Phase, String) {
    let owned = || (bundle.to_owned(), before.map(str::to_owned));
    let waits = |how: &str| {
        let (bundle, before) = owned();
        let text = format!("{bundle} {how}");
        (Phase::Offered { bundle, before, since_s }, text)
    };
    match standing {
        Standing::Active => {
            let (bundle, before) = owned();
            let text = format!("{bundle} decides, on probation");
            (Phase::Probation { bundle, before, since_s: now_s, looked: 0 }, text)
        }
        Standing::Refused(reason) => (Phase::Waiting, format!("{bundle} was refused: {reason}")),
        Standing::Gone => (Phase::Waiting, format!("{bundle} has gone")),
        Standing::Shadow => waits("is in shadow"),
        Standing::Available | Standing::Unknown if now_s - since_s > bounds.patience_s => {
            (Phase::Waiting, format!("{bundle} was not taken up: is another one pinned?"))
        }
        Standing::Available | Standing::Unknown => waits("is not taken up yet"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Next = Next { patience_s: 100.0, probation: 500, margin: 0.02 };

    fn costs(at_least: f64, decisions: usize) -> Event {
        Event::Costs { at_least, decisions }
    }

    /// Goes through events from the beginning, a second each.
    fn through(events: &[Event]) -> Vec<Phase> {
        let mut phases = vec![Phase::Waiting];
        for (at, event) in events.iter().enumerate() {
            let last = phases.last().unwrap();
            phases.push(next(last, event, Some("old"), at as f64, &BOUNDS).0);
        }
        phases
    }

    fn offered_one() -> Event {
        Event::Trained(Some("new".into()))
    }

    #[test]
    fn a_good_one_stays() {
        let phases = through(&[
            offered_one(),
            Event::Stands(Standing::Unknown),
            Event::Stands(Standing::Shadow),
            Event::Stands(Standing::Active),
            costs(-0.1, 100),
            costs(0.019, 400),
            costs(0.0, 500),
        ]);
        let on_probation =
            |phase: &Phase| matches!(phase, Phase::Probation { before: Some(before), .. } if before == "old");
        assert!(phases[4..7].iter().all(on_probation), "{phases:?}");
        assert_eq!(phases[7], Phase::Waiting);
    }

    #[test]
    fn a_bad_one_is_taken_back_before_its_probation_ends() {
        let phases =
            through(&[offered_one(), Event::Stands(Standing::Active), costs(0.03, 60), Event::TakenBack]);
        assert!(
            matches!(&phases[3], Phase::TakingBack { bundle, before: Some(before), .. } if bundle == "new" && before == "old")
        );
        assert_eq!(phases[4], Phase::Waiting);
    }

    #[test]
    fn what_gearshift_refuses_or_nobody_takes_up_is_given_up() {
        let refused = through(&[offered_one(), Event::Stands(Standing::Refused("it says NaN".into()))]);
        assert_eq!(refused[2], Phase::Waiting);
        let mut pinned = vec![offered_one()];
        pinned.extend(vec![Event::Stands(Standing::Available); 102]);
        assert_eq!(through(&pinned)[101], through(&pinned)[2]);
        assert_eq!(through(&pinned)[102], Phase::Waiting);
        // An operator's wish ends a probation, and is not fought.
        let wish =
            through(&[offered_one(), Event::Stands(Standing::Active), Event::Stands(Standing::Available)]);
        assert_eq!(wish[3], Phase::Waiting);
    }

    #[test]
    fn a_probation_is_looked_at_a_few_times_and_ends() {
        let looks = |probation| Next { probation, ..BOUNDS }.looks();
        assert_eq!((looks(50), looks(100), looks(500), looks(2000)), (1, 1, 4, 6));
        let next: Vec<usize> = [0, 100, 220, 400].map(|looked| BOUNDS.next_look(looked)).into();
        assert_eq!(next, [100, 200, 440, 500]);
        let mut unsaid =
            vec![offered_one(), Event::Stands(Standing::Active), Event::Stands(Standing::Shadow)];
        unsaid.extend(vec![Event::Unsaid("too few".into()); 110]);
        let phases = through(&unsaid);
        assert!(matches!(phases[90], Phase::Probation { .. }));
        assert_eq!(phases[110], Phase::Waiting);
    }

    #[test]
    fn nothing_is_offered_that_is_not_better() {
        assert_eq!(through(&[Event::Trained(None)])[1], Phase::Waiting);
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(offered_one()),
            Just(Event::Trained(None)),
            Just(Event::Stands(Standing::Active)),
            Just(Event::Stands(Standing::Shadow)),
            Just(Event::Stands(Standing::Available)),
            Just(Event::Stands(Standing::Gone)),
            Just(Event::Stands(Standing::Refused("x".into()))),
            (-0.1..0.1_f64, 0..600_usize).prop_map(|(at_least, decisions)| costs(at_least, decisions)),
            Just(Event::Unsaid("too few".into())),
            Just(Event::TakenBack),
        ]
    }

    proptest! {
        /// Nothing goes into service but by an offer and Gearshift's word, and nothing is taken back but what is worse for sure.
        #[test]
        fn steps_follow_each_other(events in prop::collection::vec(events(), 0..60)) {
            let phases = through(&events);
            for (event, pair) in events.iter().zip(phases.windows(2)) {
                match &pair[1] {
                    Phase::Offered { .. } if pair[0] != pair[1] => prop_assert_eq!(event, &offered_one()),
                    Phase::Probation { .. } if matches!(pair[0], Phase::Probation { .. }) => {}
                    Phase::Probation { .. } => {
                        prop_assert_eq!(event, &Event::Stands(Standing::Active));
                        let offered = matches!(pair[0], Phase::Offered { .. });
                        prop_assert!(offered);
                    }
                    Phase::TakingBack { .. } if pair[0] != pair[1] => {
                        let worse = matches!(event, Event::Costs { at_least, .. } if *at_least > BOUNDS.margin);
                        prop_assert!(worse);
                    }
                    Phase::Waiting | Phase::Offered { .. } | Phase::TakingBack { .. } => {}
                }
            }
        }
    }
}
