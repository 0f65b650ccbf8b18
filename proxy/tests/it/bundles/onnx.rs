//! ONNX graphs, as few bytes as will do: protobuf messages written by hand.

/// A protobuf message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap());
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }
}

/// ONNX's numbers of element types.
const FLOAT: u64 = 1;
const INTEGER: u64 = 7;

fn rows(shape: &[usize]) -> Vec<Option<usize>> {
    std::iter::once(None).chain(shape.iter().copied().map(Some)).collect()
}

/// A graph under construction.
#[derive(Default)]
pub(super) struct Graph(Message);

impl Graph {
    /// An input or output; `None` is a dimension of any size.
    fn port(self, field: u64, name: &str, kind: u64, shape: &[Option<usize>]) -> Self {
        let dim = |(at, size): (usize, &Option<usize>)| match size {
            Some(size) => Message::default().number(1, *size as u64),
            None => Message::default().text(2, &format!("any{at}")),
        };
        let shape =
            shape.iter().enumerate().map(dim).fold(Message::default(), |all, dim| all.message(1, &dim));
        let tensor = Message::default().number(1, kind).message(2, &shape);
        let kind = Message::default().message(1, &tensor);
        Self(self.0.message(field, &Message::default().text(1, name).message(2, &kind)))
    }

    /// Float32, rows of `shape`.
    pub(super) fn input(self, name: &str, shape: &[usize]) -> Self {
        self.port(11, name, FLOAT, &rows(shape))
    }

    /// Float32, rows of `shape`.
    pub(super) fn output(self, name: &str, shape: &[usize]) -> Self {
        self.port(12, name, FLOAT, &rows(shape))
    }

    /// Int64, rows of any length.
    pub(super) fn tokens(self, name: &str) -> Self {
        self.port(11, name, INTEGER, &[None, None])
    }

    /// Float32, rows of any number of vectors of `width`.
    pub(super) fn vectors(self, name: &str, width: usize) -> Self {
        self.port(12, name, FLOAT, &[None, None, Some(width)])
    }

    pub(super) fn node(self, kind: &str, inputs: &[&str], output: &str) -> Self {
        self.node_with(kind, inputs, output, None)
    }

    /// With an attribute of one integer.
    pub(super) fn node_with(
        self,
        kind: &str,
        inputs: &[&str],
        output: &str,
        attribute: Option<(&str, u64)>,
    ) -> Self {
        let mut node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        node = node.text(2, output).text(4, kind);
        if let Some((name, value)) = attribute {
            node = node.message(5, &Message::default().text(1, name).number(3, value).number(20, 2));
        }
        Self(self.0.message(1, &node))
    }

    pub(super) fn floats(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        self.tensor(
            name,
            FLOAT,
            shape,
            &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>(),
        )
    }

    pub(super) fn integers(self, name: &str, values: &[i64]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, INTEGER, &[values.len()], &bytes)
    }

    fn tensor(self, name: &str, kind: u64, shape: &[usize], bytes: &[u8]) -> Self {
        let dims = shape.iter().fold(Message::default(), |tensor, &dim| tensor.number(1, dim as u64));
        Self(self.0.message(5, &dims.number(2, kind).text(8, name).bytes(9, bytes)))
    }

    /// The file.
    pub(super) fn finish(self) -> Vec<u8> {
        let opset = Message::default().text(1, "").number(2, 20);
        Message::default().number(1, 9).message(8, &opset).message(7, &self.0.text(2, "test")).0
    }
}
