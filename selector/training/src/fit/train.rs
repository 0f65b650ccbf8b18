//! The loop.

use burn::{
    optim::{AdamWConfig, GradientsParams},
    tensor::Device,
};

use super::{
    Curve, Fitted, Learned, Point, Prepared, Progress, Recipe, Schedule,
    loss::Goals,
    rows::{Dropout, Rows},
};
use crate::{
    Error,
    net::{Gate, Members, Part, Scaling, Weights, forward, numbers},
};

/// Trains on `train`, on `pretrain` before where given. The same rows, recipe and seed give the same weights.
///
/// # Errors
/// Where the rows' arrays do not fit each other, there are none, or the recipe asks for what would be without effect.
pub fn fit(
    train: &Prepared,
    pretrain: Option<&Prepared>,
    recipe: &Recipe,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Fitted, Error> {
    fit_known(train, train, pretrain, recipe, seed, progress)
}

/// As [`fit`], where those members that know by heart learn from other contexts of the same rows, `known`: they may compare engines and
/// ages that a rule for all must not.
///
/// # Errors
/// As [`fit`].
pub fn fit_known(
    train: &Prepared,
    known: &Prepared,
    pretrain: Option<&Prepared>,
    recipe: &Recipe,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Fitted, Error> {
    let sets: Vec<&Prepared> = pretrain.into_iter().chain([train]).collect();
    sets.iter().try_for_each(|set| whole(set))?;
    check(train)?;
    check(known)?;
    recipe.check()?;
    let mut recipe = recipe.clone();
    let width = train.texts.width;
    recipe.shape.text =
        if recipe.takes_texts() && sets.iter().all(|set| set.texts.width == width) { width } else { 0 };
    let mut random = fastrand::Rng::with_seed(seed);
    let scaling = |recipe: &Recipe| Scaling::new(&sets, &recipe.ignore);
    let mut learned = learn(train, pretrain, scaling(&recipe), &recipe, &mut random, progress)?;
    if let Some(of_near) = recipe.of_near() {
        // Scaled alike: the graphs scale once for all members.
        let near = learn(known, pretrain, scaling(&of_near), &of_near, &mut random, progress)?;
        learned = learned.and(near, &recipe.shape, &of_near.shape);
        recipe.shape.near = of_near.shape.members;
        recipe.shape.members += of_near.shape.members;
    }
    Fitted::new(recipe, learned, Gate::new(known), train)
}

/// Trains some members.
fn learn(
    train: &Prepared,
    pretrain: Option<&Prepared>,
    scaling: Scaling,
    recipe: &Recipe,
    random: &mut fastrand::Rng,
    progress: &dyn Progress,
) -> Result<Learned, Error> {
    let mut weights = Weights::new(&recipe.shape, random);
    // The prior's own level is off by the same everywhere first of all; that needs no learning.
    let first = pretrain.filter(|_| recipe.pretraining.epochs > 0).unwrap_or(train);
    let means = Goals::new(first, &recipe.losses).means();
    weights.0[Part::OutputsBias as usize] = means.repeat(recipe.shape.members);
    let mut curves = Vec::new();

    if let Some(pretrain) = pretrain.filter(|set| !set.is_empty() && recipe.pretraining.epochs > 0) {
        let mut run = Run::new(pretrain, &scaling, recipe, &recipe.pretraining, random);
        let (trained, curve) = run.train("pre-training", weights, recipe.pretraining.epochs, progress)?;
        weights = trained;
        curves.push(curve);
    }
    let mut run = Run::new(train, &scaling, recipe, &recipe.training, random);
    let mut epochs = recipe.training.epochs;
    if recipe.early_stop && run.leave_out(train) {
        let (_, curve) = run.train("left out", weights.clone(), epochs, progress)?;
        // The first epochs are at a high rate: a best there says little of a training that ends there.
        epochs = curve.best_epoch(recipe.window).max(epochs / 3);
        curves.push(curve);
        run.left_out.clear();
    }
    let (weights, curve) = run.train("training", weights, epochs, progress)?;
    curves.push(curve);
    Ok(Learned { scaling, weights, curves, epochs })
}

/// Refuses rows that cannot be trained on.
pub(super) fn check(train: &Prepared) -> Result<(), Error> {
    whole(train)?;
    if train.is_empty() {
        return Err(Error::Failed("there are no rows to train on".to_owned()));
    }
    Ok(())
}

/// Refuses rows whose arrays do not fit each other.
pub(super) fn whole(set: &Prepared) -> Result<(), Error> {
    set.check().map_err(|array| Error::Failed(format!("rows: {array} has not the length it should")))
}

/// A training of one network on one set of rows.
pub(super) struct Run<'a> {
    rows: Rows,
    goals: Goals,
    contexts: usize,
    recipe: &'a Recipe,
    schedule: &'a Schedule,
    /// Contexts that a member leaves out, by member; empty where all are trained on.
    left_out: Vec<Vec<bool>>,
    random: &'a mut fastrand::Rng,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        set: &Prepared,
        scaling: &Scaling,
        recipe: &'a Recipe,
        schedule: &'a Schedule,
        random: &'a mut fastrand::Rng,
    ) -> Self {
        Self {
            rows: Rows::new(set, scaling),
            goals: Goals::new(set, &recipe.losses),
            contexts: set.contexts(),
            recipe,
            schedule,
            left_out: Vec::new(),
            random,
        }
    }

    /// Makes every member leave out another hardware, those with the most contexts first; false where there are
    /// fewer than two.
    fn leave_out(&mut self, set: &Prepared) -> bool {
        let mut groups: Vec<u32> = set.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        let size = |group: u32| set.groups.iter().filter(|&&other| other == group).count();
        groups.sort_by_key(|&group| std::cmp::Reverse(size(group)));
        if groups.len() < 2 {
            return false;
        }
        let of_member = |member: usize| groups[member % groups.len()];
        self.left_out = (0..self.recipe.shape.members)
            .map(|member| set.groups.iter().map(|&group| group == of_member(member)).collect())
            .collect();
        true
    }

    /// Goes through the rows `epochs` times; the learning rate has fallen at the end. The weights are the mean over the
    /// last epochs.
    pub(super) fn train(
        &mut self,
        name: &str,
        weights: Weights,
        epochs: usize,
        progress: &dyn Progress,
    ) -> Result<(Weights, Curve), Error> {
        let device = Device::flex().autodiff();
        let mut members = Members::new(&self.recipe.shape, &weights, &device);
        let mut optimizer =
            AdamWConfig::new().with_beta_2(0.99).with_weight_decay(self.recipe.weight_decay).init();
        let mut curve = Curve { name: name.to_owned(), points: Vec::new() };
        let (mut mean, mut averaged) = (weights, 0);
        let mut step = 0;
        progress.begin(name, epochs);
        for epoch in 0..epochs {
            let batches = self.batches();
            let steps = epochs * batches.len();
            let mut sum = 0.0;
            for batch in &batches {
                let rows: Vec<usize> =
                    batch.iter().flat_map(|&context| self.goals.rows_of(context)).collect();
                let dropout = Dropout {
                    tokens: self.recipe.token_dropout,
                    texts: self.recipe.text_dropout,
                    query: self.recipe.query_dropout,
                    hidden: self.recipe.hidden_dropout,
                    random: self.random,
                };
                let fed = self.rows.feed(&rows, &self.recipe.shape, &device, Some(dropout));
                let goal = self.goals.of(batch, &self.recipe.shape, &device, |member, context| {
                    if self.leaves_out(member, context) { 0.0 } else { 1.0 }
                });
                let losses = goal.loss(forward(&members, &self.recipe.shape, &fed));
                let loss = losses.sum();
                sum += f64::from(loss.clone().into_scalar::<f32>()) / self.recipe.shape.members as f64;
                let gradients = GradientsParams::from_grads(loss.backward(), &members);
                members = optimizer.step(self.schedule.rate_at(step, steps), members, gradients);
                step += 1;
            }
            let trained = sum / batches.len() as f64;
            let left_out = self.loss_left_out(&members)?;
            curve.points.push(Point { epoch: epoch + 1, trained, left_out });
            progress.step(
                &left_out.map_or(format!("{trained:.4}"), |left_out| format!("{trained:.4} {left_out:.4}")),
            );
            if epoch + self.recipe.window >= epochs {
                mean.average_in(averaged, members.weights()?);
                averaged += 1;
            }
        }
        progress.end();
        Ok((mean, curve))
    }

    fn leaves_out(&self, member: usize, context: usize) -> bool {
        self.left_out.get(member).is_some_and(|contexts| contexts[context])
    }

    /// Contexts in a new order, cut into batches.
    fn batches(&mut self) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.contexts).collect();
        self.random.shuffle(&mut order);
        self.cut(order)
    }

    fn cut(&self, order: Vec<usize>) -> Vec<Vec<usize>> {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut rows = self.schedule.batch;
        for context in order {
            let more = self.goals.rows_of(context).len();
            if rows + more > self.schedule.batch && rows > 0 {
                batches.push(Vec::new());
                rows = 0;
            }
            rows += more;
            if let Some(batch) = batches.last_mut() {
                batch.push(context);
            }
        }
        batches
    }

    /// Mean loss over the members, each on what it left out; none where nothing is left out.
    fn loss_left_out(&self, members: &Members) -> Result<Option<f64>, Error> {
        if self.left_out.is_empty() {
            return Ok(None);
        }
        let device = Device::flex();
        let shape = &self.recipe.shape;
        let valid = Members::new(shape, &members.weights()?, &device);
        let (mut losses, mut rows_left_out) = (vec![0.0; shape.members], vec![0_usize; shape.members]);
        let any = |&context: &usize| (0..shape.members).any(|member| self.leaves_out(member, context));
        for batch in self.cut((0..self.contexts).filter(any).collect()) {
            let rows: Vec<usize> = batch.iter().flat_map(|&context| self.goals.rows_of(context)).collect();
            let goal = self.goals.of(&batch, shape, &device, |member, context| {
                if self.leaves_out(member, context) { rows.len() as f32 } else { 0.0 }
            });
            let fed = self.rows.feed(&rows, shape, &device, None);
            for (sum, loss) in losses.iter_mut().zip(numbers(goal.loss(forward(&valid, shape, &fed)))?) {
                *sum += f64::from(loss);
            }
            for (member, count) in rows_left_out.iter_mut().enumerate() {
                let left_out = batch.iter().filter(|&&context| self.leaves_out(member, context));
                *count += left_out.map(|&context| self.goals.rows_of(context).len()).sum::<usize>();
            }
        }
        let mean =
            losses.iter().zip(&rows_left_out).map(|(loss, &rows)| loss / rows.max(1) as f64).sum::<f64>();
        Ok(Some(mean / shape.members as f64))
    }
}
