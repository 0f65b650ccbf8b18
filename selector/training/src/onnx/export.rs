//! The two graphs of a bundle.

use gearshift_selector::inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH};

use super::graph::{Axis, Graph, Value, float, integer, long};
use crate::{
    fit::TARGETS,
    net::{Part, Scale, Scaling, Shape, Weights},
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

/// Writes a network. Scaling is folded into the first layers, the ensemble's mean and spread are inside.
pub fn export(shape: &Shape, scaling: &Scaling, weights: &Weights) -> Graphs {
    let net = Net { shape: *shape, scaling, weights };
    Graphs { context: net.context(), regressor: net.regressor() }
}

struct Net<'a> {
    shape: Shape,
    scaling: &'a Scaling,
    weights: &'a Weights,
}

impl Net<'_> {
    /// `model`, `hardware`, `profile` and texts to `memory` `[n, 2 · tokens, members · width]`: a row of keys for
    /// every token, then a row of values for every token; members side by side, ready for the regressor.
    fn context(&self) -> Vec<u8> {
        let Shape { members, width, heads, .. } = self.shape;
        let (m, d, h, t) = (long(members), long(width), long(heads), long(self.shape.tokens()));
        let mut g = Graph::new("context");
        let tokens = self.tokens(&mut g);
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
        let shares = g.with("Softmax", &[&scores], vec![integer("axis", -1)]);
        let attended = g.apply("MatMul", &[&shares, &value]);
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
        let axes = [Axis::Rows, Axis::Of(2 * self.shape.tokens()), Axis::Of(members * width)];
        g.finish("memory", &axes, &memory)
    }

    /// The static tokens, each `[members, n, 1, width]`.
    fn tokens(&self, g: &mut Graph) -> Vec<Value> {
        let scaling = self.scaling;
        let mut model = self.token(g, ("model", MODEL.len()), &scaling.model, [Part::Model, Part::ModelBias]);
        let mut hardware = self.token(
            g,
            ("hardware", HARDWARE.len()),
            &scaling.hardware,
            [Part::Hardware, Part::HardwareBias],
        );
        let profile =
            self.token(g, ("profile", PROFILE.len()), &scaling.profile, [Part::Profile, Part::ProfileBias]);
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

    /// One token from its numbers, `[members, n, width]`.
    fn token(&self, g: &mut Graph, input: (&str, usize), scale: &Scale, parts: [Part; 2]) -> Value {
        let x = g.input(input.0, &[Axis::Rows, Axis::Of(input.1)]);
        self.scaled(g, &x, scale, parts)
    }

    /// A linear layer on an input that is clipped here and scaled by the layer's own weights. Numbers at the end that
    /// say nothing are cut off.
    fn scaled(&self, g: &mut Graph, x: &Value, scale: &Scale, [weight, bias]: [Part; 2]) -> Value {
        let [inputs, outputs] = weight.size(&self.shape);
        let used = scale.factor.iter().rposition(|&factor| factor != 0.0).map_or(1, |last| last + 1);
        let x = if used < inputs {
            let [start, end, axis] = [0, long(used), 1].map(|at| g.integers(&[at]));
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
        let memory = g.input("memory", &[Axis::Rows, Axis::Of(2 * t), Axis::Of(members * width)]);
        let query = g.input("query", &[Axis::Rows, Axis::Of(QUERY_WIDTH)]);
        let [keys, values] = g.split(&memory, 1, [t, t]);

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
        let prediction = self.ensemble(&mut g, &all);
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

    /// The last layer, the members' mean and their spread, `[n, TARGETS + 1]`.
    ///
    /// The spread is the root mean square, over members and [`MEANS`] outputs, of what a member is off the mean. The
    /// layer makes a second, scaled copy of these outputs, so that it is the Euclidean norm of a difference.
    fn ensemble(&self, g: &mut Graph, x: &Value) -> Value {
        let members = self.shape.members;
        let [inputs, _] = Part::Outputs.size(&self.shape);
        let scale = 1.0 / ((members * MEANS) as f32).sqrt();
        let with_copies = |values: &[f32]| -> Vec<f32> {
            let row =
                |row: &[f32]| row.iter().copied().chain(row[..MEANS].iter().map(|v| v * scale)).collect();
            values.chunks_exact(TARGETS).flat_map(|values| -> Vec<f32> { row(values) }).collect()
        };
        let weight =
            g.floats(&[members, inputs, TARGETS + MEANS], &with_copies(self.weights.of(Part::Outputs)));
        let bias = g.floats(&[members, 1, TARGETS + MEANS], &with_copies(self.weights.of(Part::OutputsBias)));
        let x = g.apply("MatMul", &[x, &weight]);
        let x = g.apply("Add", &[&x, &bias]);
        let mean = g.reduce("ReduceMean", &x, &[0], true);
        let off = g.apply("Sub", &[&x, &mean]);
        let [_, off] = g.split(&off, 2, [TARGETS, MEANS]);
        let spread = g.reduce("ReduceL2", &off, &[0, 2], false);
        let spread = g.reshape(&spread, &[-1, 1]);
        let mean = g.reshape(&mean, &[-1, long(TARGETS + MEANS)]);
        let [mean, _] = g.split(&mean, 1, [TARGETS, MEANS]);
        g.concat(&[&mean, &spread], 1)
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
