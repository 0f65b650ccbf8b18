//! Hyperparameters.

use serde::{Deserialize, Serialize};

use crate::{Error, net::Shape};

/// What stands for all descriptions among the inputs to ignore.
const TEXTS: &str = "text.";

/// All hyperparameters of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Sizes of the network.
    pub shape: Shape,
    /// Inputs whose name begins with one of these say nothing (a centred copy's name begins with `centred.`). With a
    /// dozen models on six accelerators, the numbers of a model or an accelerator are ids: on unseen ones they made
    /// choices worse than the query's dimensionless numbers alone, as did numbers of the query that have a dimension, the
    /// engine, its age and the centred copies, which the prior has. `text.` stands for all descriptions.
    pub ignore: Vec<String>,
    /// Training on rows of other sources first.
    pub pretraining: Schedule,
    /// Training on the rows themselves.
    pub training: Schedule,
    /// What is minimised.
    pub losses: Losses,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Share of static tokens that are left out while training.
    pub token_dropout: f32,
    /// Share of descriptions that are left out while training.
    pub text_dropout: f32,
    /// Share of the query's numbers that are left out while training.
    pub query_dropout: f32,
    /// Share of the hidden layer that is left out while training.
    pub hidden_dropout: f32,
    /// Whether the epoch to stop at is found on hardware left out; else all epochs are gone through.
    pub early_stop: bool,
    /// Epochs that are averaged over: losses when looking for the best, and weights at the end.
    pub window: usize,
    /// Share of what was learned for `relative` that is kept; whoever is served trusts it less where members disagree.
    pub relative_share: f32,
    /// More members, which know by heart what they were trained on; none where there are not any.
    pub near: Option<Near>,
}

/// How the members are trained that count where [`crate::net::Gate`] is open; all else is as for the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Near {
    /// How many; 0 for none. A decision pays for each: two choose as well as four.
    pub members: usize,
    /// Inputs that say nothing, as [`Recipe::ignore`]; whether texts are read is said there for all. The age of software is known of the
    /// profile, where the gate holds it to ages that were trained on.
    pub ignore: Vec<String>,
    /// Training on rows of other sources first.
    pub pretraining: Schedule,
    /// Training on the rows themselves.
    pub training: Schedule,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Share of static tokens that are left out while training.
    pub token_dropout: f32,
    /// Share of the query's numbers that are left out while training.
    pub query_dropout: f32,
    /// Share of the hidden layer that is left out while training.
    pub hidden_dropout: f32,
    /// How free the level of `relative` is; see [`Losses::centring`].
    pub centring: f32,
}

/// How long and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Passes over the rows at most.
    pub epochs: usize,
    /// Rows of a batch, about: contexts stay whole.
    pub batch: usize,
    /// Highest learning rate: after a warm-up over the first twentieth of the steps; then down along a cosine.
    pub rate: f64,
}

/// Weights of the parts of the loss, and their shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Losses {
    /// Of `relative`.
    pub relative: f32,
    /// Of `ttft` and `tpot`.
    pub means: f32,
    /// Of `ttft_p90` and `tpot_p90`.
    pub p90: f32,
    /// Of `saturation`.
    pub saturation: f32,
    /// Errors beyond this (natural log) count linearly.
    pub huber: f32,
    /// Weight in `relative` of a row far from the best of its context; the best weighs one more.
    pub floor: f32,
    /// How fast that falls with the regret (natural log).
    pub sharpness: f32,
    /// Share of its mean over a context that is taken off what is said of `relative`: 1 leaves the level free, less draws it to 0, so that what
    /// is said of unlike models and accelerators can be compared.
    pub centring: f32,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            shape: Shape::default(),
            ignore: [
                "centred.",
                "context.",
                "query.log2_prior_e2e_ms",
                "query.log2_prompt_tokens",
                "query.log2_output_tokens",
                "query.log2_hidden_per_accelerator",
                "query.kv_heads_per_accelerator",
                "query.software_months",
                "query.vllm",
                "query.sglang",
                "query.tensorrt_llm",
                "model.",
                "hardware.",
                "profile.software_months",
                "profile.vllm",
                "profile.sglang",
                "profile.tensorrt_llm",
                "profile.log2_tensor_parallel",
                "profile.log2_data_parallel",
                "profile.log2_pipeline_parallel",
                "profile.expert_parallel",
                "profile.weight_bytes",
                "profile.quantized",
                "profile.memory_utilization",
                "profile.log2_step_tokens",
                "profile.log2_slots",
                "profile.kv_bytes",
            ]
            .map(str::to_owned)
            .to_vec(),
            pretraining: Schedule { epochs: 20, batch: 512, rate: 3e-3 },
            training: Schedule::default(),
            losses: Losses::default(),
            weight_decay: 0.3,
            token_dropout: 0.2,
            text_dropout: 0.5,
            query_dropout: 0.1,
            hidden_dropout: 0.1,
            early_stop: false,
            window: 5,
            relative_share: 1.0,
            near: Some(Near::default()),
        }
    }
}

impl Default for Near {
    fn default() -> Self {
        Self {
            members: 2,
            ignore: ["centred.", "context.", "query.software_months"].map(str::to_owned).to_vec(),
            pretraining: Schedule { epochs: 0, ..Schedule::default() },
            training: Schedule { epochs: 200, batch: 128, rate: 5e-3 },
            weight_decay: 0.02,
            token_dropout: 0.05,
            query_dropout: 0.05,
            hidden_dropout: 0.1,
            centring: 0.8,
        }
    }
}

impl Recipe {
    /// Has all members leave out more inputs.
    pub fn leave_out(&mut self, names: &[&str]) {
        let near = self.near.as_mut().map(|near| &mut near.ignore);
        for ignore in [Some(&mut self.ignore), near].into_iter().flatten() {
            ignore.extend(names.iter().map(|&name| name.to_owned()));
        }
    }

    /// Refuses what would be without effect.
    ///
    /// # Errors
    /// What that is.
    pub fn check(&self) -> Result<(), Error> {
        let no_texts = |near: &Near| near.ignore.iter().any(|name| name == TEXTS);
        if self.shape.near > 0 {
            return Err(Error::Failed("recipe: shape.near is made of near.members: say it there".to_owned()));
        }
        if self.near.as_ref().is_some_and(no_texts) {
            return Err(Error::Failed(format!(
                "recipe: all members read texts, or none: say {TEXTS} in ignore, not in near.ignore"
            )));
        }
        Ok(())
    }

    /// Whether descriptions are read where there are any.
    pub(super) fn takes_texts(&self) -> bool {
        !self.ignore.iter().any(|name| name == TEXTS)
    }

    /// The recipe of the members that know by heart, where there are any.
    pub(super) fn of_near(&self) -> Option<Self> {
        let near = self.near.as_ref().filter(|near| near.members > 0)?;
        Some(Self {
            shape: Shape { members: near.members, ..self.shape },
            ignore: near.ignore.clone(),
            pretraining: near.pretraining,
            training: near.training,
            losses: Losses { centring: near.centring, ..self.losses },
            weight_decay: near.weight_decay,
            token_dropout: near.token_dropout,
            query_dropout: near.query_dropout,
            hidden_dropout: near.hidden_dropout,
            early_stop: false,
            near: None,
            ..self.clone()
        })
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self { epochs: 30, batch: 256, rate: 3e-3 }
    }
}

impl Default for Losses {
    fn default() -> Self {
        Self {
            relative: 1.0,
            means: 0.25,
            p90: 0.25,
            saturation: 0.25,
            huber: 0.3,
            floor: 0.25,
            sharpness: 3.0,
            centring: 1.0,
        }
    }
}

impl Schedule {
    /// Learning rate of a step.
    pub fn rate_at(&self, step: usize, steps: usize) -> f64 {
        let warm = (steps / 20).max(1);
        if step < warm {
            return self.rate * (step + 1) as f64 / warm as f64;
        }
        let gone = (step - warm) as f64 / (steps - warm).max(1) as f64;
        self.rate * (0.02 + 0.98 * 0.5 * (1.0 + (std::f64::consts::PI * gone).cos()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Recipe, Schedule};

    #[test]
    fn the_rate_rises_and_falls() {
        let schedule = Schedule { rate: 1.0, ..Schedule::default() };
        assert!(schedule.rate_at(0, 100) < 0.3);
        assert!((schedule.rate_at(4, 100) - 1.0).abs() < 1e-9);
        assert!(schedule.rate_at(99, 100) < 0.03);
        assert!(schedule.rate_at(0, 1) > 0.0);
    }

    #[test]
    fn what_would_be_without_effect_is_refused() {
        let recipe = |json: &str| serde_json::from_str::<Recipe>(json).unwrap();
        for json in ["{}", r#"{"ignore": ["text."], "near": {"ignore": ["model."]}}"#, r#"{"near": null}"#] {
            recipe(json).check().unwrap();
        }
        for (json, what) in [
            (r#"{"near": {"ignore": ["text."]}}"#, "near.ignore"),
            (r#"{"shape": {"near": 2}}"#, "near.members"),
        ] {
            let error = recipe(json).check().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn a_recipe_survives_json() {
        let recipe = Recipe::default();
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        assert_eq!(serde_json::from_str::<Recipe>("{}").unwrap(), recipe);
    }
}
