//! As much of a protobuf encoder as it takes to write ONNX files, sound ones and hostile ones, without Python.

/// A message under construction.
#[derive(Clone, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn new() -> Message {
        Message::default()
    }

    pub(crate) fn int(mut self, field: u32, value: i64) -> Message {
        self.key(field, 0);
        self.varint(value as u64);
        self
    }

    pub(crate) fn bytes(mut self, field: u32, value: &[u8]) -> Message {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn text(self, field: u32, value: &str) -> Message {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn message(self, field: u32, value: Message) -> Message {
        self.bytes(field, &value.0)
    }

    pub(crate) fn messages(self, field: u32, values: impl IntoIterator<Item = Message>) -> Message {
        values.into_iter().fold(self, |message, value| message.message(field, value))
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// AttributeProto of a list of integers.
pub(crate) fn ints(name: &str, values: &[i64]) -> Message {
    let mut packed = Message::new();
    values.iter().for_each(|&value| packed.varint(value as u64));
    Message::new().text(1, name).bytes(8, &packed.0).int(20, 7)
}

pub(crate) fn floats(name: &str, values: &[f32]) -> Message {
    let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Message::new().text(1, name).bytes(7, &packed).int(20, 6)
}

pub(crate) fn texts(name: &str, values: &[&str]) -> Message {
    values.iter().fold(Message::new().text(1, name), |message, value| message.text(9, value)).int(20, 8)
}

pub(crate) fn text(name: &str, value: &str) -> Message {
    Message::new().text(1, name).text(4, value).int(20, 3)
}

pub(crate) fn int(name: &str, value: i64) -> Message {
    Message::new().text(1, name).int(3, value).int(20, 2)
}

/// NodeProto; a dot in the operator parts the domain from its name.
pub(crate) fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<Message>) -> Message {
    let (domain, operator) = operator.rsplit_once('.').unwrap_or(("", operator));
    let node = inputs.iter().fold(Message::new(), |node, input| node.text(1, input));
    let node = outputs.iter().fold(node, |node, output| node.text(2, output));
    node.text(4, operator).messages(5, attributes).text(7, domain)
}

/// TensorProto of floats as raw data.
pub(crate) fn tensor(name: &str, dimensions: &[i64], values: &[f32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    dimensions.iter().fold(Message::new(), |tensor, &size| tensor.int(1, size)).int(2, 1).text(8, name).bytes(9, &raw)
}

/// ValueInfoProto of a float tensor; `None` is a dimension left open.
pub(crate) fn interface(name: &str, dimensions: &[Option<i64>]) -> Message {
    let dimension = |size: &Option<i64>| match size {
        Some(size) => Message::new().int(1, *size),
        None => Message::new().text(2, "N"),
    };
    let shape = Message::new().messages(1, dimensions.iter().map(dimension));
    let tensor = Message::new().int(1, 1).message(2, shape);
    Message::new().text(1, name).message(2, Message::new().message(1, tensor))
}

/// The parts of a model file, each of which a test may replace.
#[derive(Clone)]
pub(crate) struct ModelFile {
    pub(crate) nodes: Vec<Message>,
    pub(crate) initializers: Vec<Message>,
    pub(crate) inputs: Vec<Message>,
    pub(crate) outputs: Vec<Message>,
    pub(crate) metadata: Vec<(String, String)>,
    /// Appended to the model as it is.
    pub(crate) extra: Message,
}

impl ModelFile {
    /// `features` [N, width] to `probabilities` [N, 2].
    pub(crate) fn new(width: usize, nodes: Vec<Message>) -> ModelFile {
        ModelFile {
            nodes,
            initializers: vec![],
            inputs: vec![interface("features", &[None, Some(width as i64)])],
            outputs: vec![interface("probabilities", &[None, Some(2)])],
            metadata: vec![],
            extra: Message::new(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let graph = Message::new()
            .messages(1, self.nodes.iter().cloned())
            .text(2, "test")
            .messages(5, self.initializers.iter().cloned())
            .messages(11, self.inputs.iter().cloned())
            .messages(12, self.outputs.iter().cloned());
        let opset = |domain: &str, version| Message::new().text(1, domain).int(2, version);
        let entry = |(key, value): &(String, String)| Message::new().text(1, key).text(2, value);
        let mut bytes = Message::new()
            .int(1, 8)
            .message(7, graph)
            .messages(8, [opset("", 17), opset("ai.onnx.ml", 3)])
            .messages(14, self.metadata.iter().map(entry))
            .0;
        bytes.extend_from_slice(&self.extra.0);
        bytes
    }
}
