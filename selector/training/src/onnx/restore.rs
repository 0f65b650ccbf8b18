//! Weights back from the graphs of a bundle: what a training that begins from one needs, and all that it needs.
//!
//! The graphs' constants stand in the order in which [`export`](super::export) wrote them. What scales the inputs was folded into the
//! first layers; the bounds that clip them say by what, so that it can be taken out again.

use gearshift_selector::inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH};
use prost::Message;

use super::{
    export::transposed,
    proto::{FLOAT, ModelProto, TensorProto},
};
use crate::{
    Error,
    net::{ENGINE, Gate, PARTS, Part, REACH, Scale, Scaling, Shape, Weights},
};

/// A network as it was trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// Its sizes.
    pub shape: Shape,
    /// How it scales its inputs. Of those that said nothing the mean is not known, and is 0.
    pub scaling: Scaling,
    /// What it learned; 0 for inputs that said nothing.
    pub weights: Weights,
    /// What it was trained on.
    pub gate: Gate,
}

/// Reads a network that [`export`](super::export) wrote.
///
/// # Errors
/// Where a graph is none of its: bundles made by other tools have weights of other kinds.
pub fn restore(context: &[u8], regressor: &[u8]) -> Result<Restored, Error> {
    let (mut context, mut regressor) =
        (Constants::of("context.onnx", context)?, Constants::of("regressor.onnx", regressor)?);
    let (gate, near) = context.gate()?;
    let mut parts = Parts::default();
    let model = parts.scaled(&mut context, [Part::Model, Part::ModelBias], MODEL.len())?;
    let hardware = parts.scaled(&mut context, [Part::Hardware, Part::HardwareBias], HARDWARE.len())?;
    let profile = parts.scaled(&mut context, [Part::Profile, Part::ProfileBias], PROFILE.len())?;
    if context.has_texts {
        let texts =
            [Part::Text, Part::TextOfModel, Part::TextOfHardware, Part::TextOfWorkload, Part::WorkloadBias];
        parts.plain(&mut context, &texts)?;
    }
    let between = [Part::Attend, Part::AttendBias, Part::Attended, Part::AttendedBias, Part::Widen];
    parts.plain(&mut context, &between)?;
    parts.plain(&mut context, &[Part::WidenBias, Part::Narrow, Part::NarrowBias, Part::Memory])?;
    parts.plain(&mut context, &[Part::MemoryBias])?;
    let query = parts.scaled(&mut regressor, [Part::Query, Part::QueryBias], QUERY_WIDTH)?;
    let after = [Part::Ask, Part::Combine, Part::CombineBias, Part::Outputs, Part::OutputsBias];
    parts.plain(&mut regressor, &after)?;
    let shape = Shape { near, ..parts.shape(regressor.heads()?, context.has_texts) };
    parts.turn_outputs();
    let root = (shape.head() as f32).sqrt();
    parts.values[Part::Ask as usize].iter_mut().for_each(|weight| *weight *= root);
    parts.check(&shape)?;
    parts.values.truncate(Part::of(&shape).len());
    let scaling = Scaling { model, hardware, profile, query };
    Ok(Restored { shape, scaling, weights: Weights(parts.values), gate })
}

/// The float constants of a graph, in order.
struct Constants {
    name: &'static str,
    /// Matrices of every member, `[members, in, out]`.
    matrices: std::vec::IntoIter<(Vec<usize>, Vec<f32>)>,
    /// Bounds of inputs, `[in]`.
    bounds: std::vec::IntoIter<Vec<f32>>,
    /// The other matrices: the ends of the gate's boxes in one graph, what sums a head in the other.
    flat: Vec<(usize, Vec<f32>)>,
    has_texts: bool,
}

impl Constants {
    fn of(name: &'static str, file: &[u8]) -> Result<Self, Error> {
        let graph = ModelProto::decode(file).ok().and_then(|model| model.graph);
        let graph = graph.ok_or_else(|| foreign(name, "is no ONNX graph"))?;
        let has_texts = graph.input.iter().any(|input| input.name == "model_text");
        let (mut matrices, mut bounds, mut flat) = (Vec::new(), Vec::new(), Vec::new());
        for constant in graph.initializer.iter().filter(|constant| constant.data_type == FLOAT) {
            let (dims, values) = numbers(constant);
            let size = dims.iter().try_fold(1, |size: usize, &axis| size.checked_mul(axis));
            if size != Some(values.len()) {
                return Err(foreign(name, "has constants of other sizes than it says"));
            }
            match dims[..] {
                [_, _, _] => matrices.push((dims, values)),
                [_] => bounds.push(values),
                [_, columns] => flat.push((columns, values)),
                _ => {}
            }
        }
        Ok(Self { name, matrices: matrices.into_iter(), bounds: bounds.into_iter(), flat, has_texts })
    }

    fn matrix(&mut self) -> Result<(Vec<usize>, Vec<f32>), Error> {
        self.matrices.next().ok_or_else(|| foreign(self.name, "has too few weights"))
    }

    fn bound(&mut self) -> Result<Vec<f32>, Error> {
        self.bounds.next().ok_or_else(|| foreign(self.name, "has too few bounds"))
    }

    fn heads(&self) -> Result<usize, Error> {
        let columns = self.flat.first().map(|(columns, _)| *columns);
        columns.filter(|&heads| heads > 0).ok_or_else(|| foreign(self.name, "has no heads"))
    }

    /// The gate, whose constants are the first, and how many members stand behind it.
    fn gate(&mut self) -> Result<(Gate, usize), Error> {
        let Some([(low_width, low), (high_width, high)]) = self.flat.get(..2) else {
            return Err(foreign(self.name, "has no gate"));
        };
        if *low_width != ENGINE || *high_width != ENGINE || low.len() != high.len() {
            return Err(foreign(self.name, "has a gate of another size"));
        }
        let gate = Gate { low: low.clone(), high: high.clone() };
        // How far a number of an engine counts, and what members count for where the gate is shut and open.
        for _ in 0..3 {
            self.bound()?;
        }
        let (_, near) = self.matrix()?;
        Ok((gate, near.iter().filter(|&&is_near| is_near > 0.0).count()))
    }
}

fn numbers(constant: &TensorProto) -> (Vec<usize>, Vec<f32>) {
    let dims = constant.dims.iter().map(|&axis| usize::try_from(axis).unwrap_or(0)).collect();
    let word = |bytes: &[u8]| bytes.try_into().map_or(f32::NAN, f32::from_le_bytes);
    (dims, constant.raw_data.chunks_exact(4).map(word).collect())
}

fn foreign(name: &str, problem: &str) -> Error {
    Error::Failed(format!(
        "{name} {problem}: only bundles that gearshift-train of this version made can be trained further; leave out --warm-start for others"
    ))
}

/// Weights by part, as they are found.
struct Parts {
    dims: Vec<Vec<usize>>,
    values: Vec<Vec<f32>>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { dims: vec![vec![0; 3]; PARTS.len()], values: vec![Vec::new(); PARTS.len()] }
    }
}

impl Parts {
    fn plain(&mut self, from: &mut Constants, parts: &[Part]) -> Result<(), Error> {
        for &part in parts {
            let (dims, values) = from.matrix()?;
            (self.dims[part as usize], self.values[part as usize]) = (dims, values);
        }
        Ok(())
    }

    /// A layer on scaled inputs, `width` of them; those at the end that say nothing were cut off.
    fn scaled(
        &mut self,
        from: &mut Constants,
        [weight, bias]: [Part; 2],
        width: usize,
    ) -> Result<Scale, Error> {
        let (mut low, mut high) = (from.bound()?, from.bound()?);
        let (dims, folded) = from.matrix()?;
        let (bias_dims, mut shift) = from.matrix()?;
        let (members, used, outputs) = (dims[0], dims[1], dims[2]);
        let fits = low.len() == used && high.len() == used && used <= width && outputs > 0;
        if !fits || folded.len() != members * used * outputs || shift.len() != members * outputs {
            return Err(foreign(from.name, "has layers of other sizes"));
        }
        low.resize(width, 0.0);
        high.resize(width, 0.0);
        let mean: Vec<f32> = low.iter().zip(&high).map(|(low, high)| f32::midpoint(*low, *high)).collect();
        let deviation: Vec<f32> =
            low.iter().zip(&high).map(|(low, high)| (high - low) / (2.0 * REACH)).collect();
        let mut values = vec![0.0; members * width * outputs];
        for member in 0..members {
            for input in 0..used {
                for output in 0..outputs {
                    let of_unscaled = folded[(member * used + input) * outputs + output];
                    values[(member * width + input) * outputs + output] = of_unscaled * deviation[input];
                    shift[member * outputs + output] += of_unscaled * mean[input];
                }
            }
        }
        self.dims[weight as usize] = vec![members, width, outputs];
        self.values[weight as usize] = values;
        self.dims[bias as usize] = bias_dims;
        self.values[bias as usize] = shift;
        let factor = deviation.iter().map(|&by| if by > 0.0 { 1.0 / by } else { 0.0 }).collect();
        Ok(Scale { mean, factor, low, high })
    }

    fn shape(&self, heads: usize, has_texts: bool) -> Shape {
        let dims = |part: Part| &self.dims[part as usize];
        let text = if has_texts { dims(Part::Text)[1] } else { 0 };
        let text_rank = if has_texts { dims(Part::Text)[2] } else { Shape::default().text_rank };
        Shape {
            members: dims(Part::Attend)[0],
            near: 0,
            width: dims(Part::Attend)[1],
            heads,
            encoder: dims(Part::Widen)[2],
            hidden: dims(Part::Query)[2],
            combine: dims(Part::Combine)[2],
            text_rank,
            text,
        }
    }

    /// The last layer was written with rows and columns changed over.
    fn turn_outputs(&mut self) {
        for part in [Part::Outputs, Part::OutputsBias] {
            let [_, rows, columns] = self.dims[part as usize][..] else { continue };
            self.values[part as usize] = transposed(&self.values[part as usize], [rows, columns]);
            self.dims[part as usize].swap(1, 2);
        }
    }

    fn check(&self, shape: &Shape) -> Result<(), Error> {
        let right = |part: &Part| {
            let [rows, columns] = part.size(shape);
            self.values[*part as usize].len() == shape.members * rows * columns
                && self.dims[*part as usize] == [shape.members, rows, columns]
        };
        let finite = self.values.iter().flatten().all(|value| value.is_finite());
        let divides = shape.members > shape.near && shape.width.is_multiple_of(shape.heads);
        match Part::of(shape).iter().all(right) && finite && divides {
            true => Ok(()),
            false => Err(foreign("the bundle", "has layers of other sizes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        fit::{
            Fitted, Near, Recipe, Schedule, Silent, fit,
            sample::{sample, small_shape},
        },
        onnx::export,
    };

    fn trained(text: usize, ignore: &[&str]) -> (Fitted, crate::fit::Prepared) {
        let rows = sample(6, text, 1);
        let training = Schedule { epochs: 1, batch: 16, rate: 0.02 };
        let ignore = ignore.iter().map(|&name| name.to_owned()).collect();
        let near = Some(Near { members: 1, training, ..Near::default() });
        let recipe = Recipe {
            shape: small_shape(),
            training,
            ignore,
            near,
            early_stop: false,
            window: 1,
            ..Recipe::default()
        };
        (fit(&rows, None, &recipe, 3, &Silent).unwrap(), rows)
    }

    #[test]
    fn what_was_written_is_read_back() {
        for (text, ignore) in [(0, &[][..]), (16, &[]), (0, &["centred.", "context.", "hardware."])] {
            let (fitted, rows) = trained(text, ignore);
            let graphs = fitted.graphs();
            let restored = restore(&graphs.context, &graphs.regressor).unwrap();
            assert_eq!((restored.shape, restored.shape.near), (fitted.recipe.shape, 1));
            assert_eq!(restored.gate, fitted.gate);
            let again = Fitted { scaling: restored.scaling, weights: restored.weights, ..fitted.clone() };
            for (a, b) in fitted.predict(&rows).unwrap().iter().zip(again.predict(&rows).unwrap()) {
                assert!((a.tpot - b.tpot).abs() < 1e-4 && (a.relative - b.relative).abs() < 1e-4);
                assert!((a.spread - b.spread).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn the_shipped_bundle_is_read_and_written_as_it_was() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let restored = restore(&read("context.onnx"), &read("regressor.onnx")).unwrap();
        let near = Near::default().members;
        assert_eq!(
            restored.shape,
            Shape { members: Shape::default().members + near, near, ..Shape::default() }
        );
        let graphs = export(&restored.shape, &restored.scaling, &restored.weights, &restored.gate);
        let again = restore(&graphs.context, &graphs.regressor).unwrap();
        for (a, b) in restored.weights.0.iter().flatten().zip(again.weights.0.iter().flatten()) {
            assert!((a - b).abs() < 1e-3 * a.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn graphs_of_other_tools_are_refused_with_what_to_do() {
        let error = restore(b"no graph", b"").unwrap_err().to_string();
        assert!(error.contains("--warm-start"), "{error}");
        let (fitted, _) = trained(0, &[]);
        let graphs = fitted.graphs();
        restore(&graphs.regressor, &graphs.context).unwrap_err();
    }

    #[test]
    fn constants_that_are_not_as_large_as_they_say_are_refused() {
        let (fitted, _) = trained(0, &[]);
        let graphs = fitted.graphs();
        for dims in [[1 << 62, 4, 4], [i64::MAX, i64::MAX, 2], [-1, 4, 4], [1, 4, 4]] {
            let mut model = ModelProto::decode(&*graphs.context).unwrap();
            let constants = &mut model.graph.as_mut().unwrap().initializer;
            let matrices = constants.iter_mut().filter(|constant| constant.dims.len() == 3);
            for constant in matrices {
                (constant.dims, constant.raw_data) = (dims.to_vec(), Vec::new());
            }
            restore(&model.encode_to_vec(), &graphs.regressor).unwrap_err();
        }
    }
}
