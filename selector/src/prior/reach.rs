//! How far back a model's layers look: layers with a sliding window read and keep no more than that.

use gearshift_config::ModelFacts;

/// The layers of a model by what they see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reach {
    /// Share of layers with a window.
    share: f64,
    /// Tokens that these see.
    window: f64,
}

impl Reach {
    /// Every layer sees everything.
    pub(crate) const WHOLE: Self = Self { share: 0.0, window: f64::INFINITY };

    pub(crate) fn new(model: &ModelFacts) -> Self {
        model.sliding_window.map_or(Self::WHOLE, |sliding| Self {
            share: f64::from(sliding.layers.min(model.layers)) / f64::from(model.layers.max(1)),
            window: f64::from(sliding.tokens),
        })
    }

    /// Tokens that a layer reads and keeps of a sequence of this many, on average over the layers.
    pub(crate) fn tokens(&self, context: f64) -> f64 {
        (1.0 - self.share) * context + self.share * context.min(self.window)
    }

    /// Pairs of tokens that attend to each other in a prefill of so many, on average over the layers, twice.
    pub(crate) fn pairs(&self, prompt: f64) -> f64 {
        let windowed = prompt.min(self.window);
        // Beyond the window each token looks back over the window alone.
        let sliding = windowed * windowed + 2.0 * windowed * (prompt - windowed);
        (1.0 - self.share) * prompt * prompt + self.share * sliding
    }
}

#[cfg(test)]
mod tests {
    use gearshift_config::SlidingWindow;
    use proptest::prelude::*;

    use super::*;
    use crate::prior::tests::facts::llama_3b;

    fn reach(layers: u32, windowed: u32, tokens: u32) -> Reach {
        let sliding_window = Some(SlidingWindow { layers: windowed, tokens });
        Reach::new(&ModelFacts { layers, sliding_window, ..llama_3b() })
    }

    #[test]
    fn half_of_the_layers_see_no_further_than_their_window() {
        let reach = reach(24, 12, 128);
        assert_eq!(reach.tokens(100.0), 100.0);
        assert_eq!(reach.tokens(1128.0), 0.5 * 1128.0 + 64.0);
        assert_eq!(reach.pairs(128.0), 128.0 * 128.0);
        assert_eq!(reach.pairs(1128.0), 0.5 * 1128.0 * 1128.0 + 0.5 * (128.0 * 128.0 + 2.0 * 128.0 * 1000.0));
        assert_eq!(Reach::new(&llama_3b()), Reach::WHOLE);
        assert_eq!(Reach::WHOLE.pairs(3.0), 9.0);
    }

    proptest! {
        /// A window never makes more of a context, and what grows never makes less.
        #[test]
        fn windows_only_spare(
            layers in 0u32..200, windowed in 0u32..300, window in 0u32..5000, context in 0.0f64..1e6, more in 0.0f64..1e5,
        ) {
            let reach = reach(layers, windowed, window);
            let (tokens, pairs) = (reach.tokens(context), reach.pairs(context));
            prop_assert!((0.0..=context * (1.0 + 1e-12)).contains(&tokens));
            prop_assert!((0.0..=context * context * (1.0 + 1e-12)).contains(&pairs));
            prop_assert!(reach.tokens(context + more) >= tokens && reach.pairs(context + more) >= pairs);
        }
    }
}
