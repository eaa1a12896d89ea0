//! Derived features and `where` filters: CEL, parsed by the `cel` crate, lowered to slots when the specification loads.
//!
//! CEL is a known language with a well-kept parser; its interpreter is not used, because values here are one kind of number
//! and a filter runs for every event. What is kept of CEL: numbers, `true` and `false`, texts (against a category only),
//! names, `+ - * /`, `! && ||`, comparisons, `?:`, `in [..]`, and the functions of [`FUNCTIONS`]. Integers are numbers
//! (`5 == 5.0`), which plain CEL keeps apart. Anything else is refused by name and position.
//!
//! Types are checked on the way down, so evaluation cannot fail. A missing value is NaN and goes through everything except
//! `has`, `coalesce`, and an `&&` or `||` that the other side decides. What is not finite is missing too: `1 / 0` is
//! no number. Every operation is one IEEE operation in the order written, so all machines give the same bits (F2).

mod lower;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

/// The functions that an expression may call, with the number of their arguments.
pub const FUNCTIONS: [(&str, usize); 5] = [("has", 1), ("min", 2), ("max", 2), ("abs", 1), ("coalesce", 2)];

/// The longest expression in bytes.
pub const MAX_BYTES: usize = 4 << 10;

/// The most parts (names, literals, operations) of an expression.
pub const MAX_NODES: usize = 256;

/// How deep an expression nests at most; evaluation recurses that far.
pub const MAX_DEPTH: usize = 32;

/// A name that an expression may use, and what stands behind it; its position is the slot. Where two slots have one name, the
/// first is meant.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    pub name: &'a str,
    pub kind: SlotKind<'a>,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy)]
pub enum SlotKind<'a> {
    Number,
    Boolean,
    /// The position in this list.
    Category(&'a [String]),
    /// Known, but not to be used: the reason, as `is protected` or `is declared below`.
    Refused(&'a str),
}

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// Bytes from the beginning of the expression.
    pub offset: usize,
    pub message: String,
}

/// A lowered expression. Two are equal if they compute the same in the same way from the same slots.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    root: Node,
    is_condition: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Constant(f64),
    Slot(usize),
    /// A slot against a constant, which most filters are: one compare, no walk.
    Test {
        slot: usize,
        comparison: Comparison,
        constant: f64,
    },
    Compare(Comparison, Box<[Node; 2]>),
    Negate(Box<Node>),
    Not(Box<Node>),
    Abs(Box<Node>),
    Has(Box<Node>),
    In(Box<Node>, Box<[f64]>),
    Binary(Binary, Box<[Node; 2]>),
    /// Condition, then, otherwise.
    If(Box<[Node; 3]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Min,
    Max,
    And,
    Or,
    Coalesce,
}

impl Expression {
    /// Parses, checks the types and lowers to slots.
    pub fn compile(source: &str, slots: &[Slot<'_>]) -> Result<Self, ExpressionError> {
        lower::lower(source, slots)
    }

    /// Whether it says true or false, as a filter must.
    pub fn is_condition(&self) -> bool {
        self.is_condition
    }

    /// The slot, if the expression is the name of one and nothing else.
    pub fn alone(&self) -> Option<usize> {
        match self.root {
            Node::Slot(slot) => Some(slot),
            _ => None,
        }
    }

    /// The slots it reads, ascending, each once.
    pub fn slots_used(&self) -> impl Iterator<Item = usize> {
        let mut used = Vec::new();
        self.root.collect_slots(&mut used);
        used.sort_unstable();
        used.dedup();
        used.into_iter()
    }

    /// Its value over the slots it was compiled against; NaN is missing, booleans are 0 and 1. Allocates nothing.
    #[inline]
    pub fn evaluate(&self, slots: &[f64]) -> f64 {
        self.root.evaluate(slots)
    }
}

/// The canonical form that goes into the specification's hash: prefix notation over slots.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl Node {
    /// Leaves are most of a tree: they are read in place, and only what has parts is called.
    #[inline(always)]
    fn evaluate(&self, slots: &[f64]) -> f64 {
        match self {
            Self::Constant(constant) => *constant,
            Self::Slot(slot) => slots[*slot],
            Self::Test { slot, comparison, constant } => comparison.apply(slots[*slot], *constant),
            _ => self.walk(slots),
        }
    }

    fn walk(&self, slots: &[f64]) -> f64 {
        let value = |node: &Node| node.evaluate(slots);
        match self {
            Self::Constant(_) | Self::Slot(_) | Self::Test { .. } => value(self),
            Self::Compare(comparison, sides) => comparison.apply(value(&sides[0]), value(&sides[1])),
            Self::Negate(of) => finite(-value(of)),
            Self::Abs(of) => value(of).abs(),
            Self::Has(of) => truth(!value(of).is_nan()),
            // 1 - NaN is NaN: not known stays not known.
            Self::Not(of) => 1.0 - value(of),
            Self::In(of, list) => match value(of) {
                of if of.is_nan() => f64::NAN,
                of => truth(list.contains(&of)),
            },
            Self::Binary(operation, sides) => operation.apply(value(&sides[0]), || value(&sides[1])),
            Self::If(parts) => match value(&parts[0]) {
                condition if condition.is_nan() => f64::NAN,
                condition => value(&parts[if condition == 1.0 { 1 } else { 2 }]),
            },
        }
    }

    fn children(&self) -> &[Node] {
        match self {
            Self::Constant(_) | Self::Slot(_) | Self::Test { .. } => &[],
            Self::Negate(of) | Self::Not(of) | Self::Abs(of) | Self::Has(of) | Self::In(of, _) => {
                std::slice::from_ref(of)
            }
            Self::Compare(_, sides) | Self::Binary(_, sides) => &sides[..],
            Self::If(parts) => &parts[..],
        }
    }

    fn collect_slots(&self, used: &mut Vec<usize>) {
        if let Self::Slot(slot) | Self::Test { slot, .. } = self {
            used.push(*slot);
        }
        self.children().iter().for_each(|child| child.collect_slots(used));
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(constant) => return write!(f, "{constant:?}"),
            Self::Slot(slot) => return write!(f, "${slot}"),
            Self::Test { slot, comparison, constant } => {
                return write!(f, "({} ${slot} {constant:?})", comparison.symbol());
            }
            Self::In(of, list) => return write!(f, "(in {of} {list:?})"),
            Self::Compare(comparison, _) => write!(f, "({}", comparison.symbol())?,
            Self::Binary(operation, _) => write!(f, "({}", operation.symbol())?,
            Self::Negate(_) => write!(f, "(negate")?,
            Self::Not(_) => write!(f, "(!")?,
            Self::Abs(_) => write!(f, "(abs")?,
            Self::Has(_) => write!(f, "(has")?,
            Self::If(_) => write!(f, "(?")?,
        }
        self.children().iter().try_for_each(|child| write!(f, " {child}"))?;
        write!(f, ")")
    }
}

impl Comparison {
    #[inline(always)]
    fn apply(self, left: f64, right: f64) -> f64 {
        let holds = match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        };
        if left.is_nan() | right.is_nan() { f64::NAN } else { truth(holds) }
    }

    /// The same comparison seen from its other side.
    fn turned(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Binary {
    #[inline(always)]
    fn apply(self, left: f64, right: impl FnOnce() -> f64) -> f64 {
        match self {
            Self::Add => finite(left + right()),
            Self::Subtract => finite(left - right()),
            Self::Multiply => finite(left * right()),
            Self::Divide => finite(left / right()),
            Self::Min => either(left, right(), |left, right| left < right),
            Self::Max => either(left, right(), |left, right| left > right),
            Self::And => decided_by(0.0, left, right()),
            Self::Or => decided_by(1.0, left, right()),
            Self::Coalesce if left.is_nan() => right(),
            Self::Coalesce => left,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Min => "min",
            Self::Max => "max",
            Self::And => "&&",
            Self::Or => "||",
            Self::Coalesce => "coalesce",
        }
    }
}

#[inline(always)]
fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// One NaN for all that is no number: processors differ in the bits of theirs.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

fn either(left: f64, right: f64, takes_left: impl FnOnce(f64, f64) -> bool) -> f64 {
    match (left.is_nan() || right.is_nan(), takes_left(left, right)) {
        (true, _) => f64::NAN,
        (false, true) => left,
        (false, false) => right,
    }
}

/// Three-valued logic: one side that decides is enough; otherwise both have to be known.
fn decided_by(decisive: f64, left: f64, right: f64) -> f64 {
    if left == decisive || right == decisive {
        decisive
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else {
        1.0 - decisive
    }
}
