//! Expressions as data: printed as CEL for the specification, and evaluated by a walk over the tree for the oracle.

/// An expression; NaN is missing, conditions are 0 and 1.
#[derive(Debug, Clone)]
pub(crate) enum Formula {
    Number(f64),
    Name(String),
    /// `name == "c3"`: whether a category has this position.
    Is(String, usize),
    /// `name in ["c0", "c3"]`.
    OneOf(String, Vec<usize>),
    Among(Box<Formula>, Vec<f64>),
    Has(String),
    Negate(Box<Formula>),
    Not(Box<Formula>),
    Binary(Box<Formula>, Operator, Box<Formula>),
    Choose(Box<Formula>, Box<Formula>, Box<Formula>),
    Call(Function, Box<Formula>, Box<Formula>),
    Magnitude(Box<Formula>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Equal,
    Differs,
    Below,
    AtMost,
    Above,
    AtLeast,
    And,
    Or,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Min,
    Max,
    Coalesce,
}

/// The name of a category's value at a position.
pub(crate) fn category(position: usize) -> String {
    format!("c{position}")
}

pub(crate) fn name(name: &str) -> Formula {
    Formula::Name(name.to_owned())
}

pub(crate) fn binary(left: Formula, operator: Operator, right: Formula) -> Formula {
    Formula::Binary(Box::new(left), operator, Box::new(right))
}

/// `field operator number`.
pub(crate) fn compare(field: &str, operator: Operator, number: f64) -> Formula {
    binary(name(field), operator, Formula::Number(number))
}

impl Formula {
    /// Its CEL text, every operation in brackets.
    pub(crate) fn cel(&self) -> String {
        match self {
            Self::Number(number) => literal(*number),
            Self::Name(name) => name.clone(),
            Self::Is(name, position) => format!("({name} == \"{}\")", category(*position)),
            Self::OneOf(name, positions) => {
                format!("({name} in [{}])", list(positions, |&position| format!("{:?}", category(position))))
            }
            Self::Among(value, numbers) => format!("({} in [{}])", value.cel(), list(numbers, |&n| literal(n))),
            Self::Has(name) => format!("has({name})"),
            Self::Negate(value) => format!("(-{})", value.cel()),
            Self::Not(value) => format!("(!{})", value.cel()),
            Self::Binary(left, operator, right) => format!("({} {} {})", left.cel(), operator.symbol(), right.cel()),
            Self::Choose(condition, yes, no) => format!("({} ? {} : {})", condition.cel(), yes.cel(), no.cel()),
            Self::Call(function, left, right) => format!("{}({}, {})", function.word(), left.cel(), right.cel()),
            Self::Magnitude(value) => format!("abs({})", value.cel()),
        }
    }

    /// Its value, where a name stands for what `lookup` says.
    pub(crate) fn evaluate(&self, lookup: &dyn Fn(&str) -> f64) -> f64 {
        let value = |formula: &Formula| formula.evaluate(lookup);
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => lookup(name),
            Self::Is(name, position) => known(lookup(name), |given| given == *position as f64),
            Self::OneOf(name, positions) => {
                known(lookup(name), |given| positions.iter().any(|&position| given == position as f64))
            }
            Self::Among(left, numbers) => known(value(left), |given| numbers.contains(&given)),
            Self::Has(name) => truth(!lookup(name).is_nan()),
            Self::Negate(inner) => -value(inner),
            Self::Not(inner) => known(value(inner), |given| given == 0.0),
            Self::Binary(left, operator, right) => operator.apply(value(left), value(right)),
            Self::Choose(condition, yes, no) => match value(condition) {
                given if given.is_nan() => f64::NAN,
                0.0 => value(no),
                _ => value(yes),
            },
            Self::Call(Function::Coalesce, left, right) => {
                Some(value(left)).filter(|v| !v.is_nan()).unwrap_or(value(right))
            }
            Self::Call(function, left, right) => function.apply(value(left), value(right)),
            Self::Magnitude(inner) => value(inner).abs(),
        }
    }
}

impl Operator {
    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Equal => "==",
            Self::Differs => "!=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::And => "&&",
            Self::Or => "||",
        }
    }

    fn apply(self, left: f64, right: f64) -> f64 {
        let compared = |holds: bool| if left.is_nan() || right.is_nan() { f64::NAN } else { truth(holds) };
        match self {
            Self::Add => finite(left + right),
            Self::Subtract => finite(left - right),
            Self::Multiply => finite(left * right),
            Self::Divide => finite(left / right),
            Self::Equal => compared(left == right),
            Self::Differs => compared(left != right),
            Self::Below => compared(left < right),
            Self::AtMost => compared(left <= right),
            Self::Above => compared(left > right),
            Self::AtLeast => compared(left >= right),
            Self::And if left == 0.0 || right == 0.0 => 0.0,
            Self::Or if left == 1.0 || right == 1.0 => 1.0,
            Self::And => compared(true),
            Self::Or => compared(false),
        }
    }
}

impl Function {
    fn word(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
            Self::Coalesce => "coalesce",
        }
    }

    fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            _ if left.is_nan() || right.is_nan() => f64::NAN,
            Self::Min if left < right => left,
            Self::Max if left > right => left,
            // Of two equals the second: it shows where one zero is negative.
            _ => right,
        }
    }
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn known(value: f64, holds: impl Fn(f64) -> bool) -> f64 {
    if value.is_nan() { f64::NAN } else { truth(holds(value)) }
}

/// Infinity is missing.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

/// An integer where it is one, except zero: `-0` is the integer zero, and only `-0.0` is negative.
fn literal(number: f64) -> String {
    match number {
        0.0 => "0.0".to_owned(),
        below if below < 0.0 => format!("(-{})", -below),
        _ => number.to_string(),
    }
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(", ")
}
