//! The messages of an ONNX file: which fields each may have, and what is kept of them.
//!
//! Field numbers are those of `onnx.proto`. A field that is not named here is refused; so is a singular one given twice.

use std::collections::BTreeMap;

use super::GuardError;
use super::wire::{Fields, Value, push};

/// Operators in a graph; a tree ensemble is one.
const NODES_MAX: usize = 64;
const INITIALIZERS_MAX: usize = 64;
const METADATA_MAX: usize = 64;
const NAMES_MAX: usize = 64;
const DIMENSIONS_MAX: usize = 8;
/// Numbers in an attribute or initializer: nodes of all trees, weights of a layer.
pub(super) const LIST_MAX: usize = 1 << 20;

const FLOAT: i64 = 1;
const INT64: i64 = 7;
const DOUBLE: i64 = 11;

pub(super) struct Model<'a> {
    pub(super) graph: Graph<'a>,
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) initializers: Vec<Tensor<'a>>,
    pub(super) inputs: Vec<Interface<'a>>,
    pub(super) outputs: Vec<Interface<'a>>,
}

#[derive(Default)]
pub(super) struct Node<'a> {
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) operator: &'a str,
    pub(super) domain: &'a str,
    pub(super) attributes: Vec<Attribute<'a>>,
}

pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) value: AttributeValue<'a>,
}

#[derive(Debug, PartialEq)]
pub(super) enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    Text(&'a [u8]),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<&'a [u8]>),
}

/// A constant of the graph whose data are known to be in the file and as many as its dimensions say.
#[derive(Default)]
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    pub(super) dimensions: Vec<usize>,
    /// The values of a short int64 tensor: the shapes that `Reshape` takes.
    pub(super) shape: Vec<i64>,
}

/// A graph input or output: a float tensor.
#[derive(Default)]
pub(super) struct Interface<'a> {
    pub(super) name: &'a str,
    pub(super) is_float: bool,
    /// `None` is a dimension left open.
    pub(super) dimensions: Vec<Option<i64>>,
}

/// Refuses a singular field given twice, which protobuf would merge.
#[derive(Default)]
struct Once(u32);

impl Once {
    fn see(&mut self, field: u32) -> Result<(), GuardError> {
        let bit = 1 << (field & 31);
        if self.0 & bit != 0 {
            return Err(GuardError::Malformed("a field given twice that may stand once"));
        }
        self.0 |= bit;
        Ok(())
    }
}

impl<'a> Model<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, GuardError> {
        let (mut once, mut graph, mut metadata) = (Once::default(), None, BTreeMap::new());
        let mut domains = Vec::new();
        for field in Fields::of(bytes) {
            match field? {
                // ir_version, producer, domain, model_version, doc_string
                (field @ 1..=6, _) => once.see(field)?,
                (7, value) => {
                    once.see(7)?;
                    graph = Some(Graph::read(value.bytes()?)?);
                }
                (8, value) => push(&mut domains, opset_domain(value.bytes()?)?, 8)?,
                (14, value) => {
                    let (key, value) = entry(value.bytes()?)?;
                    if metadata.len() >= METADATA_MAX || metadata.insert(key, value).is_some() {
                        return Err(GuardError::Malformed("metadata with too many or repeated keys"));
                    }
                }
                (field, _) => return refuse("ModelProto", field),
            }
        }
        let graph = graph.ok_or(GuardError::Malformed("it has no graph"))?;
        match domains.iter().find(|domain| !["", "ai.onnx", "ai.onnx.ml"].contains(domain)) {
            Some(_) => Err(GuardError::Malformed("an operator set other than `ai.onnx` and `ai.onnx.ml`")),
            None => Ok(Model { graph, metadata }),
        }
    }
}

impl<'a> Graph<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, GuardError> {
        let (mut once, mut graph) = (Once::default(), Graph::default());
        for field in Fields::of(bytes) {
            match field? {
                (1, _) if graph.nodes.len() >= NODES_MAX => {
                    return Err(GuardError::TooMany { what: "operators", limit: NODES_MAX });
                }
                (1, value) => graph.nodes.push(Node::read(value.bytes()?)?),
                (field @ (2 | 10), _) => once.see(field)?,
                (5, value) => push(&mut graph.initializers, Tensor::read(value.bytes()?)?, INITIALIZERS_MAX)?,
                (11, value) => push(&mut graph.inputs, Interface::read(value.bytes()?)?, NAMES_MAX)?,
                (12, value) => push(&mut graph.outputs, Interface::read(value.bytes()?)?, NAMES_MAX)?,
                // value_info and metadata_props: remarks that ONNX Runtime checks or ignores.
                (13 | 16, _) => {}
                (field, _) => return refuse("GraphProto", field),
            }
        }
        Ok(graph)
    }
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, GuardError> {
        let (mut once, mut node) = (Once::default(), Node::default());
        for field in Fields::of(bytes) {
            let (field, value) = field?;
            match field {
                1 => push(&mut node.inputs, value.text()?, NAMES_MAX)?,
                2 => push(&mut node.outputs, value.text()?, NAMES_MAX)?,
                5 => push(&mut node.attributes, Attribute::read(value.bytes()?)?, NAMES_MAX)?,
                3 | 4 | 6 | 7 => {
                    once.see(field)?;
                    match field {
                        4 => node.operator = value.text()?,
                        7 => node.domain = value.text()?,
                        _ => {}
                    }
                }
                9 => {}
                field => return refuse("NodeProto", field),
            }
        }
        Ok(node)
    }

    /// The operator with its domain, as messages name it.
    pub(super) fn label(&self) -> String {
        match self.domain {
            "" | "ai.onnx" => self.operator.to_owned(),
            domain => format!("{domain}.{}", self.operator),
        }
    }
}

impl<'a> Attribute<'a> {
    /// The declared type decides what ONNX Runtime reads, so a value of another kind beside it is refused.
    fn read(bytes: &'a [u8]) -> Result<Self, GuardError> {
        let (mut once, mut name, mut kind) = (Once::default(), "", 0);
        let (mut single, mut floats, mut ints, mut texts) = (None, Vec::new(), Vec::new(), Vec::new());
        for field in Fields::of(bytes) {
            let (field, value) = field?;
            match field {
                7 => value.floats_into(&mut floats, LIST_MAX)?,
                8 => value.ints_into(&mut ints, LIST_MAX)?,
                9 => push(&mut texts, value.bytes()?, LIST_MAX)?,
                1..=4 | 13 | 20 => {
                    once.see(field)?;
                    match field {
                        1 => name = value.text()?,
                        2..=4 if single.is_some() => {
                            return Err(GuardError::Malformed("an attribute of two values"));
                        }
                        2 => single = Some(AttributeValue::Float(value.float()?)),
                        3 => single = Some(AttributeValue::Int(value.int()?)),
                        4 => single = Some(AttributeValue::Text(value.bytes()?)),
                        20 => kind = value.int()?,
                        _ => {}
                    }
                }
                field => return refuse("AttributeProto", field),
            }
        }
        let lists = [(6, !floats.is_empty()), (7, !ints.is_empty()), (8, !texts.is_empty())];
        let mixed = lists.iter().any(|&(list, given)| given && list != kind);
        let value = match (kind, single) {
            _ if mixed => None,
            (1, Some(value @ AttributeValue::Float(_))) => Some(value),
            (2, Some(value @ AttributeValue::Int(_))) => Some(value),
            (3, Some(value @ AttributeValue::Text(_))) => Some(value),
            (6, None) => Some(AttributeValue::Floats(floats)),
            (7, None) => Some(AttributeValue::Ints(ints)),
            (8, None) => Some(AttributeValue::Texts(texts)),
            _ => None,
        };
        let value = value.ok_or(GuardError::Malformed("an attribute whose value is not of its type"))?;
        Ok(Attribute { name, value })
    }
}

impl<'a> Tensor<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, GuardError> {
        let (mut once, mut tensor, mut kind) = (Once::default(), Tensor::default(), 0);
        let (mut dimensions, mut floats, mut ints, mut raw) = (Vec::new(), Vec::new(), Vec::new(), None);
        for field in Fields::of(bytes) {
            let (field, value) = field?;
            match field {
                1 => value.ints_into(&mut dimensions, DIMENSIONS_MAX)?,
                4 => value.floats_into(&mut floats, LIST_MAX)?,
                7 => value.ints_into(&mut ints, LIST_MAX)?,
                2 | 8 | 9 | 12 => {
                    once.see(field)?;
                    match field {
                        2 => kind = value.int()?,
                        8 => tensor.name = value.text()?,
                        9 => raw = Some(value.bytes()?),
                        _ => {}
                    }
                }
                14 if matches!(value, Value::Varint(0)) => once.see(field)?,
                field => return refuse("TensorProto", field),
            }
        }
        let problem = |problem| GuardError::Initializer { name: tensor.name.to_owned(), problem };
        let elements = elements(&dimensions).ok_or(problem("has negative or too large dimensions"))?;
        let given = match (kind, raw) {
            (FLOAT, None) if ints.is_empty() => floats.len(),
            (INT64, None) if floats.is_empty() => ints.len(),
            (FLOAT, Some(raw)) if floats.is_empty() && ints.is_empty() => raw.len() / 4 + raw.len() % 4 * LIST_MAX,
            (INT64 | DOUBLE, Some(raw)) if floats.is_empty() && ints.is_empty() => {
                raw.len() / 8 + raw.len() % 8 * LIST_MAX
            }
            _ => return Err(problem("must hold float, double or int64 values, in one way")),
        };
        if given != elements {
            return Err(problem("does not hold as many values as its dimensions say"));
        }
        if kind == INT64 && elements <= DIMENSIONS_MAX {
            let raw = raw.unwrap_or_default().chunks_exact(8);
            ints.extend(raw.map(|bytes| i64::from_le_bytes(bytes.try_into().expect("chunks of eight bytes"))));
            tensor.shape = ints;
        }
        // Not negative: `elements` has seen them.
        tensor.dimensions = dimensions.into_iter().map(|dimension| dimension as usize).collect();
        Ok(tensor)
    }
}

impl<'a> Interface<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, GuardError> {
        let (mut once, mut interface) = (Once::default(), Interface::default());
        for field in Fields::of(bytes) {
            match field? {
                (1, value) => {
                    once.see(1)?;
                    interface.name = value.text()?;
                }
                (2, value) => {
                    once.see(2)?;
                    interface.read_type(value.bytes()?)?;
                }
                (3 | 4, _) => {}
                (field, _) => return refuse("ValueInfoProto", field),
            }
        }
        Ok(interface)
    }

    /// Anything but a tensor leaves `is_float` unset.
    fn read_type(&mut self, bytes: &'a [u8]) -> Result<(), GuardError> {
        for field in Fields::of(bytes) {
            let (1, tensor) = field? else { continue };
            for field in Fields::of(tensor.bytes()?) {
                match field? {
                    (1, value) => self.is_float = value.int()? == FLOAT,
                    (2, shape) => self.read_shape(shape.bytes()?)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn read_shape(&mut self, bytes: &'a [u8]) -> Result<(), GuardError> {
        for field in Fields::of(bytes) {
            let (_, dimension) = field?;
            let mut value = None;
            for field in Fields::of(dimension.bytes()?) {
                if let (1, given) = field? {
                    value = Some(given.int()?);
                }
            }
            push(&mut self.dimensions, value, DIMENSIONS_MAX)?;
        }
        Ok(())
    }
}

fn opset_domain(bytes: &[u8]) -> Result<&str, GuardError> {
    let mut domain = "";
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => domain = value.text()?,
            (2, _) => {}
            (field, _) => return refuse("OperatorSetIdProto", field),
        }
    }
    Ok(domain)
}

fn entry(bytes: &[u8]) -> Result<(String, String), GuardError> {
    let (mut once, mut entry) = (Once::default(), (String::new(), String::new()));
    for field in Fields::of(bytes) {
        let (field, value) = field?;
        match field {
            1 => entry.0 = value.text()?.to_owned(),
            2 => entry.1 = value.text()?.to_owned(),
            field => return refuse("StringStringEntryProto", field),
        }
        once.see(field)?;
    }
    Ok(entry)
}

/// How many values the dimensions hold; none if one is negative or they are too many.
fn elements(dimensions: &[i64]) -> Option<usize> {
    let product = dimensions
        .iter()
        .try_fold(1usize, |product, &dimension| product.checked_mul(usize::try_from(dimension).ok()?))?;
    (product <= LIST_MAX && dimensions.iter().all(|&dimension| dimension as usize <= LIST_MAX)).then_some(product)
}

/// Says what the best-known fields would do.
fn refuse<T>(message: &'static str, field: u32) -> Result<T, GuardError> {
    let why = match (message, field) {
        ("ModelProto", 20) => ": training information",
        ("ModelProto", 25) => ": functions",
        ("GraphProto", 15) => ": sparse initializers",
        ("AttributeProto", 6 | 11) => ": sub-graphs",
        ("AttributeProto", 5 | 10) => ": tensors in attributes",
        ("TensorProto", 13 | 14) => ": external data",
        _ => "",
    };
    Err(GuardError::Field { message, field, why })
}
