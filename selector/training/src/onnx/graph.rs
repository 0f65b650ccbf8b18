//! A graph as it grows: operations return the name of their output.

use prost::Message;

use super::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, AttributeProto, DimensionProto, FLOAT, GraphProto, INT64,
    Length, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};

/// ONNX Runtime 1.17 and later run it; `LayerNormalization` needs 17.
const OPSET: i64 = 20;
const IR_VERSION: i64 = 9;

/// Name of a value in the graph.
pub(super) type Value = String;

/// An axis of an input or output.
#[derive(Clone, Copy)]
pub(super) enum Axis {
    /// The rows, however many come.
    Rows,
    /// Always this long.
    Of(usize),
}

/// A graph under construction.
#[derive(Default)]
pub(super) struct Graph {
    inner: GraphProto,
}

impl Graph {
    pub(super) fn new(name: &str) -> Self {
        Self { inner: GraphProto { name: name.to_owned(), ..GraphProto::default() } }
    }

    /// Declares an input.
    pub(super) fn input(&mut self, name: &str, axes: &[Axis]) -> Value {
        self.inner.input.push(info(name, axes));
        name.to_owned()
    }

    /// Makes `value` the output `name` and returns the file's bytes.
    pub(super) fn finish(mut self, name: &str, axes: &[Axis], value: &Value) -> Vec<u8> {
        for node in &mut self.inner.node {
            for output in node.output.iter_mut().chain(&mut node.input).filter(|output| *output == value) {
                name.clone_into(output);
            }
        }
        self.inner.output.push(info(name, axes));
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "gearshift-train".to_owned(),
            graph: Some(self.inner),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        };
        model.encode_to_vec()
    }

    /// A constant of floats.
    pub(super) fn floats(&mut self, shape: &[usize], values: &[f32]) -> Value {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(shape.iter().map(|&axis| long(axis)).collect(), FLOAT, bytes)
    }

    /// A constant list of integers: shapes and axes.
    pub(super) fn integers(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(vec![long(values.len())], INT64, bytes)
    }

    fn constant(&mut self, dims: Vec<i64>, data_type: i32, raw_data: Vec<u8>) -> Value {
        let name = format!("constant_{}", self.inner.initializer.len());
        self.inner.initializer.push(TensorProto { dims, data_type, name: name.clone(), raw_data });
        name
    }

    /// An operation with `outputs` outputs.
    pub(super) fn operations(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        outputs: usize,
        attribute: Vec<AttributeProto>,
    ) -> Vec<Value> {
        let name = format!("{operator}_{}", self.inner.node.len());
        let output: Vec<Value> = (0..outputs).map(|at| format!("{name}_{at}")).collect();
        self.inner.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.clone()).collect(),
            output: output.clone(),
            name,
            op_type: operator.to_owned(),
            attribute,
        });
        output
    }

    /// An operation with settings and one output.
    pub(super) fn with(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attribute: Vec<AttributeProto>,
    ) -> Value {
        self.operations(operator, inputs, 1, attribute).swap_remove(0)
    }

    /// An operation without settings, with one output.
    pub(super) fn apply(&mut self, operator: &str, inputs: &[&Value]) -> Value {
        self.with(operator, inputs, Vec::new())
    }

    /// The same numbers in another shape.
    pub(super) fn reshape(&mut self, value: &Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.apply("Reshape", &[value, &shape])
    }

    /// Axes in another order.
    pub(super) fn transpose(&mut self, value: &Value, order: &[i64]) -> Value {
        self.with("Transpose", &[value], vec![integers("perm", order)])
    }

    /// Parts along an axis.
    pub(super) fn split<const N: usize>(
        &mut self,
        value: &Value,
        axis: i64,
        lengths: [usize; N],
    ) -> [Value; N] {
        let lengths = self.integers(&lengths.map(long));
        let mut parts =
            self.operations("Split", &[value, &lengths], N, vec![integer("axis", axis)]).into_iter();
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    /// Side by side along an axis.
    pub(super) fn concat(&mut self, values: &[&Value], axis: i64) -> Value {
        self.with("Concat", values, vec![integer("axis", axis)])
    }

    /// A sum or mean over axes.
    pub(super) fn reduce(&mut self, operator: &str, value: &Value, axes: &[i64], keep: bool) -> Value {
        let axes = self.integers(axes);
        self.with(operator, &[value, &axes], vec![integer("keepdims", i64::from(keep))])
    }
}

/// An integer setting.
pub(super) fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: value, r#type: ATTRIBUTE_INT, ..AttributeProto::default() }
}

/// A float setting.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f: value, r#type: ATTRIBUTE_FLOAT, ..AttributeProto::default() }
}

/// A setting of several integers.
fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        r#type: ATTRIBUTE_INTS,
        ..AttributeProto::default()
    }
}

fn info(name: &str, axes: &[Axis]) -> ValueInfoProto {
    let length = |axis: &Axis| match axis {
        Axis::Rows => Length::Named("rows".to_owned()),
        Axis::Of(length) => Length::Known(long(*length)),
    };
    let dim = axes.iter().map(|axis| DimensionProto { length: Some(length(axis)) }).collect();
    let tensor = TensorTypeProto { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

/// Lengths are far below 2⁶³.
pub(super) fn long(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
