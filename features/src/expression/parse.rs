//! The `cel` crate's parser behind bounds of our own.

use cel::common::ast::{IdedExpr, SourceInfo};

use super::{ExpressionError, MAX_BYTES, MAX_DEPTH, MAX_NODES};

/// The syntax tree and where its parts stand, in bytes.
pub(super) fn parse(source: &str) -> Result<(IdedExpr, SourceInfo), ExpressionError> {
    check_size(source)?;
    // An environment of no macros: `has(x)` arrives as the call that it is here.
    let parser = cel::Env::default().with_optional_support(false).parser();
    parser.parse_with_source_info(source).map_err(|errors| syntax_error(source, &errors))
}

/// Bounds what the parser is given (S5): it recurses over what it reads, and its work is not ours to bound.
fn check_size(source: &str) -> Result<(), ExpressionError> {
    let refuse = |message: String| Err(ExpressionError { offset: 0, message });
    if source.len() > MAX_BYTES {
        return refuse(format!("an expression is at most {MAX_BYTES} bytes long"));
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
    let (mut tokens, mut depth, mut deepest, mut before) = (0, 0_usize, 0, b' ');
    for byte in source.bytes() {
        tokens += usize::from(!(byte.is_ascii_whitespace() || is_word(byte) && is_word(before)));
        match byte {
            b'(' | b'[' | b'{' | b'?' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        before = byte;
    }
    if tokens > 2 * MAX_NODES {
        return refuse(format!("an expression has at most {MAX_NODES} parts; make several features of it"));
    }
    if deepest > MAX_DEPTH { refuse(too_deep()) } else { Ok(()) }
}

pub(super) fn too_deep() -> String {
    format!("an expression nests at most {MAX_DEPTH} deep; make several features of it")
}

fn syntax_error(source: &str, errors: &cel::ParseErrors) -> ExpressionError {
    let Some(first) = errors.errors.first() else {
        return ExpressionError { offset: 0, message: "not an expression".to_owned() };
    };
    let (line, column) = (first.pos.0.max(1) as usize, first.pos.1.max(1) as usize);
    let line_start: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let in_line = source[line_start..].char_indices().nth(column - 1).map_or(source.len() - line_start, |(at, _)| at);
    let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg).replace('\n', " ");
    ExpressionError { offset: line_start + in_line, message: format!("not an expression: {message}") }
}
