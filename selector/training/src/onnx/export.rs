//! The two graphs of a bundle.

use gearshift_selector::inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH};

use super::graph::{Axis, Graph, Value, float, integer, long};
use crate::{
    fit::TARGETS,
    net::{ENGINE, Gate, Part, Scale, Scaling, Shape, Weights},
};

/// Outputs whose spread over the members is the confidence: `relative` and the means.
const MEANS: usize = 3;

/// The files `context.onnx` and `regressor.onnx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graphs {
    /// Static tokens to memory, once per engine.
    pub context: Vec<u8>,
    /// Memory and query to prediction, per request.
    pub regressor: Vec<u8>,
}

/// Writes a network. Scaling is folded into the first layers, the gate, the ensemble's mean and its spread are inside.
pub fn export(shape: &Shape, scaling: &Scaling, weights: &Weights, gate: &Gate) -> Graphs {
    let net = Net { shape: *shape, scaling, weights, gate };
    Graphs { context: net.context(), regressor: net.regressor() }
}

struct Net<'a> {
    shape: Shape,
    scaling: &'a Scaling,
    weights: &'a Weights,
    gate: &'a Gate,
}

impl Net<'_> {
    /// `model`, `hardware`, `profile` and texts to `memory` `[n, 2 · tokens + 1, members · width]`: a row of keys for
    /// every token, then a row of values for every token; members side by side, ready for the regressor. The last row begins
    /// with what each member counts for.
    ///
    /// The gate's constants stand first: [`restore`](super::restore) knows them by that.
    fn context(&self) -> Vec<u8> {
        let Shape { members, width, heads, .. } = self.shape;
        let (m, d, h, t) = (long(members), long(width), long(heads), long(self.shape.tokens()));
        let mut g = Graph::new("context");
        let (engine, shares) = self.behind_gate(&mut g);
        let tokens = self.tokens(&mut g, &engine);
        let x = g.concat(&tokens.iter().collect::<Vec<_>>(), 2);

        // From here on `[members, n · tokens, width]`.
        let x = g.reshape(&x, &[m, -1, d]);
        let normal = self.normalise(&mut g, &x);
        let projected = self.dense(&mut g, &normal, Part::Attend, Part::AttendBias);
        let projected = g.reshape(&projected, &[-1, t, 3, h, d / h]);
        let heads_first = g.transpose(&projected, &[2, 0, 3, 1, 4]);
        let parts =
            g.operations("Split", &[&heads_first], 3, vec![integer("axis", 0), integer("num_outputs", 3)]);
        let [query, key, value] = [0, 1, 2].map(|at| parts[at].clone());
        let key = g.transpose(&key, &[0, 1, 2, 4, 3]);
        let scores = g.apply("MatMul", &[&query, &key]);
        let scale = g.floats(&[], &[1.0 / (self.shape.head() as f32).sqrt()]);
        let scores = g.apply("Mul", &[&scores, &scale]);
        let scores = g.with("Softmax", &[&scores], vec![integer("axis", -1)]);
        let attended = g.apply("MatMul", &[&scores, &value]);
        let attended = g.transpose(&attended, &[0, 1, 3, 2, 4]);
        let attended = g.reshape(&attended, &[m, -1, d]);
        let attended = self.dense(&mut g, &attended, Part::Attended, Part::AttendedBias);
        let x = g.apply("Add", &[&x, &attended]);
        let normal = self.normalise(&mut g, &x);
        let wide = self.dense(&mut g, &normal, Part::Widen, Part::WidenBias);
        let wide = g.apply("Relu", &[&wide]);
        let narrow = self.dense(&mut g, &wide, Part::Narrow, Part::NarrowBias);
        let x = g.apply("Add", &[&x, &narrow]);
        let normal = self.normalise(&mut g, &x);
        let memory = self.dense(&mut g, &normal, Part::Memory, Part::MemoryBias);
        let memory = g.reshape(&memory, &[m, -1, t, 2, d]);
        let memory = g.transpose(&memory, &[1, 3, 2, 0, 4]);
        let memory = g.reshape(&memory, &[-1, 2 * t, m * d]);
        let memory = g.concat(&[&memory, &shares], 1);
        let axes = [Axis::Rows, Axis::Of(2 * self.shape.tokens() + 1), Axis::Of(members * width)];
        g.finish("memory", &axes, &memory)
    }

    /// The engines as each member sees them, model, hardware and profile `[members, n, …]`, and what each member counts for,
    /// `[n, 1, members · width]`, zeros after the members: see [`Gate`].
    fn behind_gate(&self, g: &mut Graph) -> ([Value; 3], Value) {
        let lengths = [MODEL.len(), HARDWARE.len(), PROFILE.len()];
        let inputs = ["model", "hardware", "profile"].into_iter().zip(lengths);
        let inputs: Vec<Value> =
            inputs.map(|(name, length)| g.input(name, &[Axis::Rows, Axis::Of(length)])).collect();
        let engine = g.concat(&inputs.iter().collect::<Vec<_>>(), 1);
        let boxes = self.gate.boxes();
        let [low, high] = [&self.gate.low, &self.gate.high].map(|ends| g.floats(&[boxes, ENGINE], ends));
        let middle = g.integers(&[1]);
        let apart = g.apply("Unsqueeze", &[&engine, &middle]);
        let below = g.apply("Sub", &[&low, &apart]);
        let above = g.apply("Sub", &[&apart, &high]);
        let outside = g.apply("Max", &[&below, &above]);
        let outside = g.apply("Relu", &[&outside]);
        let scale = g.floats(&[ENGINE], &Gate::scale());
        let outside = g.apply("Mul", &[&outside, &scale]);
        let distances = g.reduce("ReduceSumSquare", &outside, &[2], true);
        let distance = g.reduce("ReduceMin", &distances, &[1], true);
        let distance = g.apply("Neg", &[&distance]);
        let open = g.apply("Exp", &[&distance]);
        let Shape { members, width, .. } = self.shape;
        let padded = |share: &dyn Fn(usize) -> f32| -> Vec<f32> {
            (0..members * width).map(|at| if at < members { share(at) } else { 0.0 }).collect()
        };
        let shut = padded(&|member| self.shape.share(member, 0.0));
        let more = padded(&|member| self.shape.share(member, 1.0) - self.shape.share(member, 0.0));
        let [shut, more] = [shut, more].map(|shares| g.floats(&[members * width], &shares));
        let more = g.apply("Mul", &[&open, &more]);
        let shares = g.apply("Add", &[&shut, &more]);

        let nearest = g.with("ArgMin", &[&distances], vec![integer("axis", 1), integer("keepdims", 0)]);
        let nearest = g.reshape(&nearest, &[-1]);
        let [low, high] = [low, high].map(|ends| g.apply("Gather", &[&ends, &nearest]));
        let known = g.apply("Max", &[&engine, &low]);
        let known = g.apply("Min", &[&known, &high]);
        let other = g.apply("Sub", &[&known, &engine]);
        let is_near = |member: usize| if member < members - self.shape.near { 0.0 } else { 1.0 };
        let near = g.floats(&[members, 1, 1], &(0..members).map(is_near).collect::<Vec<_>>());
        let other = g.apply("Mul", &[&other, &near]);
        let seen = g.apply("Add", &[&engine, &other]);
        (g.split(&seen, 2, lengths), shares)
    }

    /// The static tokens, each `[members, n, 1, width]`.
    fn tokens(&self, g: &mut Graph, [model, hardware, profile]: &[Value; 3]) -> Vec<Value> {
        let scaling = self.scaling;
        let mut model = self.scaled(g, model, &scaling.model, [Part::Model, Part::ModelBias]);
        let mut hardware = self.scaled(g, hardware, &scaling.hardware, [Part::Hardware, Part::HardwareBias]);
        let profile = self.scaled(g, profile, &scaling.profile, [Part::Profile, Part::ProfileBias]);
        let mut workload = None;
        if self.shape.text > 0 {
            let down = self.constant(g, Part::Text);
            let text = |g: &mut Graph, name: &str, part: Part| {
                let vectors = g.input(name, &[Axis::Rows, Axis::Of(self.shape.text)]);
                let low = g.apply("MatMul", &[&vectors, &down]);
                let up = self.constant(g, part);
                g.apply("MatMul", &[&low, &up])
            };
            let of_model = text(g, "model_text", Part::TextOfModel);
            let of_hardware = text(g, "hardware_text", Part::TextOfHardware);
            let of_workload = text(g, "workload_text", Part::TextOfWorkload);
            model = g.apply("Add", &[&model, &of_model]);
            hardware = g.apply("Add", &[&hardware, &of_hardware]);
            let bias = self.constant(g, Part::WorkloadBias);
            workload = Some(g.apply("Add", &[&of_workload, &bias]));
        }
        let axis = g.integers(&[2]);
        let tokens = [Some(model), Some(hardware), Some(profile), workload].into_iter().flatten();
        tokens.map(|token| g.apply("Unsqueeze", &[&token, &axis])).collect()
    }

    /// A linear layer on an input that is clipped here and scaled by the layer's own weights. Numbers at the end that
    /// say nothing are cut off.
    fn scaled(&self, g: &mut Graph, x: &Value, scale: &Scale, [weight, bias]: [Part; 2]) -> Value {
        let [inputs, outputs] = weight.size(&self.shape);
        let used = scale.factor.iter().rposition(|&factor| factor != 0.0).map_or(1, |last| last + 1);
        let x = if used < inputs {
            let [start, end, axis] = [0, long(used), -1].map(|at| g.integers(&[at]));
            &g.apply("Slice", &[x, &start, &end, &axis])
        } else {
            x
        };
        let low = g.floats(&[used], &scale.low[..used]);
        let high = g.floats(&[used], &scale.high[..used]);
        let x = g.apply("Max", &[x, &low]);
        let x = g.apply("Min", &[&x, &high]);
        let (folded, shifted) = scale.fold(self.weights.of(weight), self.weights.of(bias), outputs);
        let of_used: Vec<f32> = folded
            .chunks_exact(inputs * outputs)
            .flat_map(|of_member| &of_member[..used * outputs])
            .copied()
            .collect();
        let weight = g.floats(&[self.shape.members, used, outputs], &of_used);
        let bias = g.floats(&[self.shape.members, 1, outputs], &shifted);
        let x = g.apply("MatMul", &[&x, &weight]);
        g.apply("Add", &[&x, &bias])
    }

    /// `memory` and `query` to `prediction` `[n, TARGETS + 1]`.
    fn regressor(&self) -> Vec<u8> {
        let Shape { members, width, hidden, .. } = self.shape;
        let (m, d, t) = (long(members), long(width), self.shape.tokens());
        let mut g = Graph::new("regressor");
        let memory = g.input("memory", &[Axis::Rows, Axis::Of(2 * t + 1), Axis::Of(members * width)]);
        let query = g.input("query", &[Axis::Rows, Axis::Of(QUERY_WIDTH)]);
        let [keys, values, shares] = g.split(&memory, 1, [t, t, 1]);

        let hidden_layer = self.scaled(&mut g, &query, &self.scaling.query, [Part::Query, Part::QueryBias]);
        let hidden_layer = g.apply("Relu", &[&hidden_layer]);
        let root = 1.0 / (self.shape.head() as f32).sqrt();
        let ask: Vec<f32> = self.weights.of(Part::Ask).iter().map(|weight| weight * root).collect();
        let ask = g.floats(&[members, hidden, width], &ask);
        let ask = g.apply("MatMul", &[&hidden_layer, &ask]);
        // Members side by side, as memory has them: `[n, 1, members · width]`.
        let ask = g.transpose(&ask, &[1, 0, 2]);
        let ask = g.reshape(&ask, &[-1, 1, m * d]);

        // Sums within a head, and back to its width, are products with a matrix of ones and zeros: faster than to
        // reduce an axis of a few numbers.
        let products = g.apply("Mul", &[&keys, &ask]);
        let products = g.reshape(&products, &[-1, d]);
        let (sum, repeat) = self.head_sums(&mut g);
        let scores = g.apply("MatMul", &[&products, &sum]);
        let gates = g.apply("Sigmoid", &[&scores]);
        let gates = g.apply("MatMul", &[&gates, &repeat]);
        let gates = g.reshape(&gates, &[-1, long(t), m * d]);
        let gated = g.apply("Mul", &[&gates, &values]);
        let attended = g.reduce("ReduceSum", &gated, &[1], false);
        let attended = g.reshape(&attended, &[-1, m, d]);
        let attended = g.transpose(&attended, &[1, 0, 2]);

        let seen = g.concat(&[&hidden_layer, &attended], 2);
        let combined = self.dense(&mut g, &seen, Part::Combine, Part::CombineBias);
        let combined = g.apply("Relu", &[&combined]);
        let all = g.concat(&[&seen, &combined], 2);
        let prediction = self.ensemble(&mut g, &all, &shares);
        g.finish("prediction", &[Axis::Rows, Axis::Of(TARGETS + 1)], &prediction)
    }

    /// `[width, heads]` of ones where the column's head has the row, and its transpose.
    fn head_sums(&self, g: &mut Graph) -> (Value, Value) {
        let (rows, columns) = (self.shape.width, self.shape.heads);
        let one = |row: usize, column: usize| if row / self.shape.head() == column { 1.0 } else { 0.0 };
        let sum: Vec<f32> = (0..rows * columns).map(|at| one(at / columns, at % columns)).collect();
        let repeat: Vec<f32> = (0..rows * columns).map(|at| one(at % rows, at / rows)).collect();
        (g.floats(&[rows, columns], &sum), g.floats(&[columns, rows], &repeat))
    }

    /// The last layer, the members' mean and their spread, each member counting for its share, `[n, TARGETS + 1]`.
    ///
    /// The spread is the root of the mean square, over members and [`MEANS`] outputs, of what a member is off the mean. Outputs are
    /// few, so rows stand last here, `[members, TARGETS, n]`: products and sums over six numbers at a time cost more.
    fn ensemble(&self, g: &mut Graph, x: &Value, shares: &Value) -> Value {
        let members = self.shape.members;
        let [inputs, _] = Part::Outputs.size(&self.shape);
        let weight = transposed(self.weights.of(Part::Outputs), [inputs, TARGETS]);
        let weight = g.floats(&[members, TARGETS, inputs], &weight);
        let bias = g.floats(&[members, TARGETS, 1], self.weights.of(Part::OutputsBias));
        let x = g.transpose(x, &[0, 2, 1]);
        let x = g.apply("MatMul", &[&weight, &x]);
        let x = g.apply("Add", &[&x, &bias]);

        let [start, end, axis] = [0, long(members), 2].map(|at| g.integers(&[at]));
        let shares = g.apply("Slice", &[shares, &start, &end, &axis]);
        let shares = g.transpose(&shares, &[2, 1, 0]);
        let counted = g.apply("Mul", &[&x, &shares]);
        let mean = g.reduce("ReduceSum", &counted, &[0], true);
        let off = g.apply("Sub", &[&x, &mean]);
        let [off, _] = g.split(&off, 1, [MEANS, TARGETS - MEANS]);
        let square = g.apply("Mul", &[&off, &off]);
        let square = g.apply("Mul", &[&square, &shares]);
        let square = g.reduce("ReduceSum", &square, &[0, 1], true);
        let part = g.floats(&[], &[1.0 / MEANS as f32]);
        let square = g.apply("Mul", &[&square, &part]);
        let spread = g.apply("Sqrt", &[&square]);
        let all = g.concat(&[&mean, &spread], 1);
        let all = g.transpose(&all, &[2, 1, 0]);
        g.reshape(&all, &[-1, long(TARGETS + 1)])
    }

    /// A linear layer of every member.
    fn dense(&self, g: &mut Graph, x: &Value, weight: Part, bias: Part) -> Value {
        let (weight, bias) = (self.constant(g, weight), self.constant(g, bias));
        let x = g.apply("MatMul", &[x, &weight]);
        g.apply("Add", &[&x, &bias])
    }

    fn constant(&self, g: &mut Graph, part: Part) -> Value {
        let [rows, columns] = part.size(&self.shape);
        g.floats(&[self.shape.members, rows, columns], self.weights.of(part))
    }

    fn normalise(&self, g: &mut Graph, x: &Value) -> Value {
        let gain = g.floats(&[self.shape.width], &vec![1.0; self.shape.width]);
        g.with("LayerNormalization", &[x, &gain], vec![integer("axis", -1), float("epsilon", 1e-5)])
    }
}

/// Matrices one after another, each with rows and columns changed over.
pub(super) fn transposed(matrices: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let each = matrices.chunks_exact((rows * columns).max(1));
    each.flat_map(|matrix| (0..rows * columns).map(move |at| matrix[at % rows * columns + at / rows]))
        .collect()
}
