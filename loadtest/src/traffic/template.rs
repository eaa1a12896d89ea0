//! Bodies made of lines of a file, by a pattern: `{"rows": [{{items}}]}`, `{"income": {{/monthly_income}}}`.
//!
//! What a pattern takes out of a line is found once, when the file is read: a request is then pieces copied one behind the other.

use std::ops::Range;

use super::json::Pointer;

/// A pattern in its pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    /// `{{line}}`: the line as it is.
    Line,
    /// `{{/pointer}}`: a value of the line as it is written there, quotes included; and `{{/pointer or 0}}` what stands for one that is absent.
    Value {
        pointer: Pointer,
        text: String,
        otherwise: Option<String>,
    },
    /// `{{number}}`: the number of the request.
    Number,
    /// `{{id}}`: a number that no other request has, in no run.
    Id,
    /// `{{items}}`: all lines of the request, each by another pattern.
    Items,
}

/// A line of a file, and where in it the values of a pattern stand.
#[derive(Debug, Clone, Copy)]
pub struct Filled<'f> {
    pub line: &'f [u8],
    /// One for each value of the pattern; empty for one that is absent.
    pub values: &'f [Range<u32>],
}

/// What a request is told beside its lines.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    pub number: u64,
    pub id: u64,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some(begin) = rest.find("{{") {
            let (before, from) = rest.split_at(begin);
            let end = from.find("}}").ok_or_else(|| "`{{` without its `}}`".to_owned())?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::parse(from[2..end].trim())?);
            rest = &from[end + 2..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    pub fn has_items(&self) -> bool {
        self.pieces.contains(&Piece::Items)
    }

    /// How many values it takes out of a line.
    pub fn values(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Value { .. })).count()
    }

    /// Where they stand in that line; an error names the first that is absent and has nothing in its place.
    pub fn find(&self, line: &str, found: &mut Vec<Range<u32>>) -> Result<(), String> {
        for piece in &self.pieces {
            let Piece::Value { pointer, text, otherwise } = piece else { continue };
            found.push(match (pointer.find(line.as_bytes()), otherwise) {
                (Some(value), _) => {
                    // A value is a part of its line.
                    let from = value.as_ptr() as usize - line.as_ptr() as usize;
                    from as u32..(from + value.len()) as u32
                }
                (None, Some(_)) => 0..0,
                (None, None) => {
                    return Err(format!(
                        "there is no `{text}`; `{{{{{text} or null}}}}` in the pattern says what stands for it"
                    ));
                }
            });
        }
        Ok(())
    }

    /// Writes it; `items` is called where all lines of the request stand.
    pub fn write(&self, filled: Filled<'_>, numbers: Numbers, out: &mut Vec<u8>, items: impl Fn(&mut Vec<u8>)) {
        use std::io::Write;
        let mut values = filled.values.iter();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Line => out.extend_from_slice(filled.line),
                Piece::Value { otherwise, .. } => match values.next() {
                    Some(range) if !range.is_empty() => {
                        out.extend_from_slice(&filled.line[range.start as usize..range.end as usize]);
                    }
                    _ => out.extend_from_slice(otherwise.as_deref().unwrap_or("null").as_bytes()),
                },
                // Writing to memory cannot fail.
                Piece::Number => drop(write!(out, "{}", numbers.number)),
                Piece::Id => drop(write!(out, "{}", numbers.id)),
                Piece::Items => items(out),
            }
        }
    }
}

impl Piece {
    fn parse(word: &str) -> Result<Self, String> {
        Ok(match word {
            "line" => Self::Line,
            "number" => Self::Number,
            "id" => Self::Id,
            "items" => Self::Items,
            _ if word.starts_with('/') => {
                let (text, otherwise) = match word.split_once(" or ") {
                    Some((text, otherwise)) => (text.trim(), Some(otherwise.trim().to_owned())),
                    None => (word, None),
                };
                Self::Value { pointer: Pointer::parse(text)?, text: text.to_owned(), otherwise }
            }
            _ => {
                let words = "`{{line}}`, `{{items}}`, `{{number}}`, `{{id}}` and `{{/a/pointer}}`";
                return Err(format!("unknown `{{{{{word}}}}}`; there are {words}"));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pattern: &str, line: &str) -> Result<String, String> {
        let template = Template::parse(pattern)?;
        let (mut values, mut out) = (Vec::new(), Vec::new());
        template.find(line, &mut values)?;
        let filled = Filled { line: line.as_bytes(), values: &values };
        template.write(filled, Numbers { number: 7, id: 99 }, &mut out, |out| out.extend_from_slice(b"I,I"));
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_pattern_is_filled_from_a_line() {
        let line = r#"{"a": {"b": "x"}, "c": [1, 2.0]}"#;
        for (pattern, body) in [
            ("{{line}}", line),
            ("plain", "plain"),
            (r#"{"v": {{/a/b}}, "w": {{ /c/1 }}}"#, r#"{"v": "x", "w": 2.0}"#),
            ("{{/d or null}} {{/a/b or 0}}", r#"null "x""#),
            ("[{{items}}] {{number}} {{id}}", "[I,I] 7 99"),
        ] {
            assert_eq!(made(pattern, line).as_deref(), Ok(body), "{pattern}");
        }
        for (pattern, wrong) in [
            ("{{/d}}", "there is no `/d`; `{{/d or null}}` in the pattern says what stands for it"),
            ("{{line", "`{{` without its `}}`"),
            ("{{lines}}", "unknown `{{lines}}`; there are"),
        ] {
            assert!(made(pattern, line).unwrap_err().starts_with(wrong), "{pattern}");
        }
    }
}
