//! Derived features and `where` filters: CEL, parsed by the `cel` crate, lowered to slots when the specification loads.

/// A name that an expression may use, and what stands behind it; its position is the slot.
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

/// A lowered expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {}

impl Expression {
    /// Parses, checks the types and lowers to slots.
    pub fn compile(_source: &str, _slots: &[Slot<'_>]) -> Result<Self, ExpressionError> {
        unimplemented!()
    }

    /// Whether it says true or false, as a filter must.
    pub fn is_condition(&self) -> bool {
        unimplemented!()
    }

    /// The slots it reads, ascending, each once.
    pub fn slots_used(&self) -> impl Iterator<Item = usize> {
        std::iter::empty()
    }

    /// Its value over the slots it was compiled against; NaN is missing, booleans are 0 and 1.
    pub fn evaluate(&self, _slots: &[f64]) -> f64 {
        f64::NAN
    }
}
