//! From CEL's syntax tree to slots, checking types on the way: what comes out cannot fail.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::parse::{parse, too_deep};
use super::{Binary, Comparison, Expression, ExpressionError, FUNCTIONS, MAX_DEPTH, MAX_NODES, Node, Slot, SlotKind};
use crate::nearest::nearest;

/// The largest literal: up to there every integer is an exact `f64`.
const LARGEST: u64 = crate::fixed::MAX_RAW as u64;

pub(super) fn lower(source: &str, slots: &[Slot<'_>]) -> Result<Expression, ExpressionError> {
    let (tree, positions) = parse(source)?;
    let mut lowering = Lowering { source, slots, positions, nodes: 0 };
    let typed = lowering.any(&tree, 1)?;
    let is_condition = match typed.kind {
        Kind::Number | Kind::Category(_) => false,
        Kind::Boolean => true,
        Kind::Text(_) => return lowering.refuse(&tree, "a text alone is no value; compare a category with it"),
    };
    Ok(Expression { root: typed.node, is_condition })
}

struct Typed<'a> {
    node: Node,
    kind: Kind<'a>,
}

/// What a part of an expression is.
#[derive(Clone, Copy)]
enum Kind<'a> {
    Number,
    Boolean,
    Category(Category<'a>),
    /// A text literal.
    Text(&'a str),
}

#[derive(Clone, Copy)]
struct Category<'a> {
    name: &'a str,
    values: &'a [String],
}

struct Lowering<'a> {
    source: &'a str,
    slots: &'a [Slot<'a>],
    positions: SourceInfo,
    nodes: usize,
}

type Lowered<T> = Result<T, ExpressionError>;

impl<'a> Lowering<'a> {
    fn any<'t>(&mut self, tree: &'t IdedExpr, depth: usize) -> Lowered<Typed<'t>>
    where
        'a: 't,
    {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.refuse(tree, &format!("an expression has at most {MAX_NODES} parts"));
        }
        if depth > MAX_DEPTH {
            return self.refuse(tree, &too_deep());
        }
        match &tree.expr {
            Expr::Literal(literal) => self.literal(tree, literal),
            Expr::Ident(name) => self.name(tree, name),
            Expr::Call(call) => self.call(tree, call, depth),
            Expr::List(_) => self.refuse(tree, "a list stands only behind `in`"),
            Expr::Select(select) => {
                let message = format!("`.{}` is not supported; fields and features have plain names", select.field);
                self.refuse(tree, &message)
            }
            Expr::Map(_) | Expr::Struct(_) => self.refuse(tree, "`{…}` is not supported"),
            Expr::Comprehension(_) | Expr::Unspecified => self.refuse(tree, "this is not supported"),
        }
    }

    fn literal<'t>(&self, tree: &IdedExpr, literal: &'t LiteralValue) -> Lowered<Typed<'t>> {
        let (value, kind) = match literal {
            LiteralValue::Int(value) if value.inner().unsigned_abs() <= LARGEST => {
                (*value.inner() as f64, Kind::Number)
            }
            LiteralValue::Double(value) if value.inner().abs() <= LARGEST as f64 => (*value.inner(), Kind::Number),
            LiteralValue::Int(_) | LiteralValue::Double(_) => return self.refuse(tree, "a number lies within ±2^53"),
            LiteralValue::Boolean(value) => (f64::from(u8::from(*value.inner())), Kind::Boolean),
            LiteralValue::String(value) => (f64::NAN, Kind::Text(value.inner())),
            LiteralValue::UInt(_) => return self.refuse(tree, "write the number without `u`"),
            LiteralValue::Null => return self.refuse(tree, "`null` is not supported; ask `has(name)`"),
            LiteralValue::Bytes(_) => return self.refuse(tree, "bytes are not supported"),
        };
        Ok(Typed { node: Node::Constant(value), kind })
    }

    fn name<'t>(&self, tree: &IdedExpr, name: &str) -> Lowered<Typed<'t>>
    where
        'a: 't,
    {
        let Some(index) = self.slots.iter().position(|slot| slot.name == name) else {
            let usable = self.slots.iter().filter(|slot| !matches!(slot.kind, SlotKind::Refused(_)));
            let names = usable.map(|slot| slot.name);
            let message = format!("`{name}` is no name known here{}", did_you_mean(name, names));
            return self.refuse(tree, &message);
        };
        let slot = &self.slots[index];
        let kind = match slot.kind {
            SlotKind::Number => Kind::Number,
            SlotKind::Boolean => Kind::Boolean,
            SlotKind::Category(values) => Kind::Category(Category { name: slot.name, values }),
            SlotKind::Refused(reason) => return self.refuse(tree, &format!("`{name}` {reason}")),
        };
        Ok(Typed { node: Node::Slot(index), kind })
    }

    fn call<'t>(&mut self, tree: &'t IdedExpr, call: &'t CallExpr, depth: usize) -> Lowered<Typed<'t>>
    where
        'a: 't,
    {
        if call.target.is_some() {
            return self.refuse(tree, &format!("`.{}(…)` is not supported", call.func_name));
        }
        if let Some(comparison) = comparison(&call.func_name) {
            return self.comparison(tree, comparison, &call.args, depth);
        }
        if let Some((operation, takes)) = binary(&call.func_name) {
            return self.binary(operation, takes, &call.args, depth);
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::NEGATE, [of]) => Ok(number(match self.number(of, depth + 1)? {
                Node::Constant(constant) => Node::Constant(-constant),
                node => Node::Negate(Box::new(node)),
            })),
            (operators::LOGICAL_NOT, [of]) => Ok(boolean(Node::Not(Box::new(self.boolean(of, depth + 1)?)))),
            (operators::CONDITIONAL, [condition, then, otherwise]) => self.choice(condition, then, otherwise, depth),
            (operators::IN, [of, list]) => self.membership(of, list, depth),
            (name, arguments) => self.function(tree, name, arguments, depth),
        }
    }

    fn function<'t>(
        &mut self,
        tree: &'t IdedExpr,
        name: &str,
        arguments: &'t [IdedExpr],
        depth: usize,
    ) -> Lowered<Typed<'t>>
    where
        'a: 't,
    {
        let offset = self
            .source
            .get(..self.offset(tree))
            .and_then(|before| before.rfind(name))
            .unwrap_or_else(|| self.offset(tree));
        let refuse = |message: String| Err(ExpressionError { offset, message });
        let Some((_, count)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let names = FUNCTIONS.map(|(known, _)| known);
            let symbol = match name {
                operators::MODULO => return self.refuse(tree, "`%` is not supported"),
                operators::INDEX => return self.refuse(tree, "`[…]` behind a value is not supported"),
                other => other,
            };
            let offer = did_you_mean(name, names);
            return refuse(format!("`{symbol}` is no function; there are {}{offer}", names.join(", ")));
        };
        if arguments.len() != *count {
            return refuse(format!("`{name}` takes {count} argument(s), not {}", arguments.len()));
        }
        Ok(match (name, arguments) {
            ("has", [of]) => boolean(Node::Has(Box::new(self.value(of, depth + 1)?))),
            ("abs", [of]) => number(Node::Abs(Box::new(self.number(of, depth + 1)?))),
            ("min", sides) => return self.binary(Binary::Min, Operands::Numbers, sides, depth),
            ("max", sides) => return self.binary(Binary::Max, Operands::Numbers, sides, depth),
            (_, sides) => return self.binary(Binary::Coalesce, Operands::Alike, sides, depth),
        })
    }

    fn binary<'t>(
        &mut self,
        operation: Binary,
        takes: Operands,
        sides: &'t [IdedExpr],
        depth: usize,
    ) -> Lowered<Typed<'t>>
    where
        'a: 't,
    {
        let [left, right] = sides else { unreachable!("the grammar gives two sides") };
        let mut pair = |of: Operands| -> Lowered<Node> {
            let mut side = |tree| match of {
                Operands::Booleans => self.boolean(tree, depth + 1),
                _ => self.number(tree, depth + 1),
            };
            Ok(Node::Binary(operation, Box::new([side(left)?, side(right)?])))
        };
        match takes {
            Operands::Numbers => Ok(number(pair(Operands::Numbers)?)),
            Operands::Booleans => Ok(boolean(pair(Operands::Booleans)?)),
            Operands::Alike => {
                let (left, right, is_boolean) = self.alike(left, right, depth)?;
                let node = Node::Binary(operation, Box::new([left, right]));
                Ok(if is_boolean { boolean(node) } else { number(node) })
            }
        }
    }

    fn choice<'t>(
        &mut self,
        condition: &'t IdedExpr,
        then: &'t IdedExpr,
        otherwise: &'t IdedExpr,
        depth: usize,
    ) -> Lowered<Typed<'t>>
    where
        'a: 't,
    {
        let condition = self.boolean(condition, depth + 1)?;
        let (then, otherwise, is_boolean) = self.alike(then, otherwise, depth)?;
        let node = Node::If(Box::new([condition, then, otherwise]));
        Ok(if is_boolean { boolean(node) } else { number(node) })
    }

    /// Two values of one kind: both numbers, or both true or false.
    fn alike<'t>(&mut self, left: &'t IdedExpr, right: &'t IdedExpr, depth: usize) -> Lowered<(Node, Node, bool)>
    where
        'a: 't,
    {
        let first = self.any(left, depth + 1)?;
        if matches!(first.kind, Kind::Boolean) {
            return Ok((first.node, self.boolean(right, depth + 1)?, true));
        }
        Ok((self.as_number(left, first)?, self.number(right, depth + 1)?, false))
    }

    fn membership<'t>(&mut self, of: &'t IdedExpr, list: &'t IdedExpr, depth: usize) -> Lowered<Typed<'t>>
    where
        'a: 't,
    {
        let typed = self.any(of, depth + 1)?;
        let Expr::List(list_of) = &list.expr else {
            return self.refuse(list, "behind `in` stands a list, as `[1, 2]`");
        };
        if list_of.elements.is_empty() {
            return self.refuse(list, "the list behind `in` is empty");
        }
        let mut constants = Vec::with_capacity(list_of.elements.len());
        for element in &list_of.elements {
            let item = self.any(element, depth + 1)?;
            constants.push(match (typed.kind, item.kind, item.node) {
                (Kind::Number, Kind::Number, Node::Constant(constant)) => constant,
                (Kind::Category(category), Kind::Text(text), _) => self.category_value(element, category, text)?,
                (Kind::Number, ..) => return self.refuse(element, "the list has to hold plain numbers"),
                (Kind::Category(_), ..) => return self.refuse(element, "the list has to hold texts in quotes"),
                _ => return self.refuse(of, "before `in` stands a number or a category"),
            });
        }
        Ok(boolean(Node::In(Box::new(typed.node), constants.into())))
    }

    fn comparison<'t>(
        &mut self,
        tree: &'t IdedExpr,
        comparison: Comparison,
        sides: &'t [IdedExpr],
        depth: usize,
    ) -> Lowered<Typed<'t>>
    where
        'a: 't,
    {
        let [left, right] = sides else { unreachable!("the grammar gives two sides") };
        let (a, b) = (self.any(left, depth + 1)?, self.any(right, depth + 1)?);
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let (a, b) = match (a.kind, b.kind) {
            (Kind::Number, Kind::Number) => (a.node, b.node),
            (Kind::Category(_) | Kind::Boolean | Kind::Text(_), _) | (_, Kind::Category(_) | Kind::Boolean)
                if !equality =>
            {
                return self.refuse(tree, "only numbers have an order; use `==`, `!=` or `in`");
            }
            (Kind::Boolean, Kind::Boolean) => (a.node, b.node),
            (Kind::Category(category), Kind::Text(text)) => {
                (a.node, Node::Constant(self.category_value(right, category, text)?))
            }
            (Kind::Text(text), Kind::Category(category)) => {
                (Node::Constant(self.category_value(left, category, text)?), b.node)
            }
            (Kind::Category(one), Kind::Category(other)) if one.values == other.values => (a.node, b.node),
            (one, other) => {
                let message = format!("{} and {} cannot be compared", describe(one), describe(other));
                return self.refuse(tree, &message);
            }
        };
        Ok(boolean(match (a, b) {
            (Node::Slot(slot), Node::Constant(constant)) => Node::Test { slot, comparison, constant },
            (Node::Constant(constant), Node::Slot(slot)) => {
                Node::Test { slot, comparison: comparison.turned(), constant }
            }
            (a, b) => Node::Compare(comparison, Box::new([a, b])),
        }))
    }

    fn category_value(&self, tree: &IdedExpr, category: Category<'_>, text: &str) -> Lowered<f64> {
        match category.values.iter().position(|value| value == text) {
            Some(index) => Ok(index as f64),
            None => {
                let offer = did_you_mean(text, category.values.iter().map(String::as_str));
                self.refuse(tree, &format!("`{text}` is no value of `{}`{offer}", category.name))
            }
        }
    }

    fn number(&mut self, tree: &IdedExpr, depth: usize) -> Lowered<Node> {
        let typed = self.any(tree, depth)?;
        self.as_number(tree, typed)
    }

    fn as_number(&self, tree: &IdedExpr, typed: Typed<'_>) -> Lowered<Node> {
        match typed.kind {
            Kind::Number => Ok(typed.node),
            kind => self.refuse(tree, &format!("a number belongs here, not {}", describe(kind))),
        }
    }

    fn boolean(&mut self, tree: &IdedExpr, depth: usize) -> Lowered<Node> {
        let typed = self.any(tree, depth)?;
        match typed.kind {
            Kind::Boolean => Ok(typed.node),
            kind => self.refuse(tree, &format!("a condition belongs here, not {}", describe(kind))),
        }
    }

    fn value(&mut self, tree: &IdedExpr, depth: usize) -> Lowered<Node> {
        let typed = self.any(tree, depth)?;
        match typed.kind {
            Kind::Text(_) => self.refuse(tree, "a name belongs here, not a text"),
            _ => Ok(typed.node),
        }
    }

    fn refuse<T>(&self, tree: &IdedExpr, message: &str) -> Lowered<T> {
        Err(ExpressionError { offset: self.offset(tree), message: message.to_owned() })
    }

    fn offset(&self, tree: &IdedExpr) -> usize {
        self.positions.offset_for(tree.id).map_or(0, |(start, _)| start as usize)
    }
}

#[derive(Clone, Copy)]
enum Operands {
    Numbers,
    Booleans,
    Alike,
}

fn number<'t>(node: Node) -> Typed<'t> {
    Typed { node, kind: Kind::Number }
}

fn boolean<'t>(node: Node) -> Typed<'t> {
    Typed { node, kind: Kind::Boolean }
}

fn comparison(operator: &str) -> Option<Comparison> {
    Some(match operator {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn binary(operator: &str) -> Option<(Binary, Operands)> {
    Some(match operator {
        operators::ADD => (Binary::Add, Operands::Numbers),
        operators::SUBSTRACT => (Binary::Subtract, Operands::Numbers),
        operators::MULTIPLY => (Binary::Multiply, Operands::Numbers),
        operators::DIVIDE => (Binary::Divide, Operands::Numbers),
        operators::LOGICAL_AND => (Binary::And, Operands::Booleans),
        operators::LOGICAL_OR => (Binary::Or, Operands::Booleans),
        _ => return None,
    })
}

fn describe(kind: Kind<'_>) -> String {
    match kind {
        Kind::Number => "a number".to_owned(),
        Kind::Boolean => "a condition".to_owned(),
        Kind::Category(category) => format!("the category `{}`", category.name),
        Kind::Text(_) => "a text".to_owned(),
    }
}

fn did_you_mean<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    nearest(word, names).map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}
