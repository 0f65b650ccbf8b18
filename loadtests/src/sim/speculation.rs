//! Which drafts are accepted: decided by seed, in the same order whichever way the steps are taken.

/// Drafts of one sequence, step after step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drafts {
    state: u64,
    acceptance: f64,
    /// Draft tokens per step; 0 without speculation.
    count: u32,
}

impl Drafts {
    /// `acceptance` is the probability that a draft token is accepted, given that those before it were.
    pub(super) fn new(seed: u64, count: u32, acceptance: f64) -> Self {
        Self { state: seed, acceptance: acceptance.clamp(0.0, 1.0), count }
    }

    /// Tokens that one step yields: the accepted drafts, and the one that verifying them yields anyway.
    pub(super) fn next(&mut self) -> u32 {
        if self.count == 0 {
            return 1;
        }
        let draw = self.uniform();
        let mut tokens = 1;
        let mut reached = self.acceptance;
        while tokens <= self.count && draw < reached {
            tokens += 1;
            reached *= self.acceptance;
        }
        tokens
    }

    /// Steps until `tokens` are out.
    pub(super) fn steps_for(mut self, tokens: u32) -> u64 {
        if self.count == 0 {
            return u64::from(tokens);
        }
        let (mut steps, mut out) = (0, 0);
        while out < tokens {
            out += self.next();
            steps += 1;
        }
        steps
    }

    /// In [0, 1), by SplitMix64 (Steele, Lea and Flood, 2014).
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_drafts_a_step_yields_a_token() {
        let mut drafts = Drafts::new(1, 0, 0.9);
        assert_eq!((drafts.next(), drafts.steps_for(17)), (1, 17));
    }

    #[test]
    fn the_mean_is_the_geometric_series() {
        for (count, acceptance) in [(1, 0.5), (3, 0.7), (5, 0.0), (4, 1.0)] {
            let mut drafts = Drafts::new(7, count, acceptance);
            let steps = 100_000;
            let tokens: u32 = (0..steps).map(|_| drafts.next()).sum();
            let expected: f64 = (0..=count).map(|i| acceptance.powi(i.cast_signed())).sum();
            let mean = f64::from(tokens) / f64::from(steps);
            assert!((mean - expected).abs() < 0.02, "{count} drafts at {acceptance}: {mean}, not {expected}");
        }
    }

    #[test]
    fn steps_are_counted_with_the_draws_that_are_made() {
        let drafts = Drafts::new(3, 4, 0.6);
        let steps = drafts.steps_for(200);
        let mut one_by_one = drafts;
        let before: u32 = (1..steps).map(|_| one_by_one.next()).sum();
        assert!(before < 200 && before + one_by_one.next() >= 200);
    }
}
