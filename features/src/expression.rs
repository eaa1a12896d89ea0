//! Derived features and `where` filters: CEL, parsed by the `cel` crate, lowered to slots when the specification loads.

/// A lowered expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {}

impl Expression {
    /// Its value over the slots it was compiled against; NaN is missing, booleans are 0 and 1.
    pub fn evaluate(&self, _slots: &[f64]) -> f64 {
        f64::NAN
    }
}
