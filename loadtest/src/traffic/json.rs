//! One value of a JSON text, found by its JSON Pointer (RFC 6901) without making anything of the rest.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

/// Where a value stands: `/applicants/0/income`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(steps) = text.strip_prefix('/') else {
            return Err(format!("a JSON pointer begins with `/` as in `/data/income`, not `{text}`"));
        };
        Ok(Self(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// The value as it is written; none where there is none.
    pub fn find<'j>(&self, json: &'j [u8]) -> Option<&'j str> {
        let mut found: &'j RawValue = serde_json::from_slice(json).ok()?;
        for step in &self.0 {
            found = if found.get().starts_with('[') {
                let place: usize = step.parse().ok()?;
                *serde_json::from_str::<Vec<&'j RawValue>>(found.get()).ok()?.get(place)?
            } else {
                let members: HashMap<Cow<'j, str>, &'j RawValue> = serde_json::from_str(found.get()).ok()?;
                members.get(step.as_str()).copied()?
            };
        }
        Some(found.get())
    }
}

/// The place behind `"name":` in a JSON text, at any depth: enough to read a member of a document whose other members are known.
pub fn behind<'j>(json: &'j [u8], name_and_colon: &[u8]) -> Option<&'j [u8]> {
    let (first, rest) = name_and_colon.split_first()?;
    let mut from = 0;
    while let Some(at) = json.get(from..)?.iter().position(|byte| byte == first) {
        from += at + 1;
        if json[from..].starts_with(rest) {
            return json.get(from + rest.len()..);
        }
    }
    None
}

/// The whole number that a text begins with.
pub fn leading_number(json: &[u8]) -> Option<u64> {
    let digits = json.iter().take_while(|byte| byte.is_ascii_digit());
    let mut number = None;
    for digit in digits {
        number = Some(number.unwrap_or(0_u64).checked_mul(10)?.checked_add(u64::from(digit - b'0'))?);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_where_its_pointer_says() {
        let json = r#" {"a": {"b/c": [1, {"d": "x\"y"}], "": null}, "e~": 2.50, "\u0066": true} "#;
        for (pointer, value) in [
            ("/a/b~1c/0", Some("1")),
            ("/a/b~1c/1/d", Some(r#""x\"y""#)),
            ("/a/b~1c", Some(r#"[1, {"d": "x\"y"}]"#)),
            ("/a/", Some("null")),
            ("/e~0", Some("2.50")),
            ("/f", Some("true")),
            ("/a/b~1c/2", None),
            ("/a/b~1c/x", None),
            ("/e~0/1", None),
            ("/g", None),
        ] {
            assert_eq!(Pointer::parse(pointer).unwrap().find(json.as_bytes()), value, "{pointer}");
        }
        assert!(Pointer::parse("a").is_err());
        assert_eq!(Pointer::parse("/a").unwrap().find(b"no json"), None);
    }

    #[test]
    fn a_member_is_found_by_its_name_alone() {
        let json = br#"{"count":3,"scored":12,"results":[]}"#;
        assert_eq!(behind(json, br#""scored":"#).and_then(leading_number), Some(12));
        assert_eq!(behind(json, br#""refused":"#), None);
        assert_eq!(leading_number(b"null"), None);
        assert_eq!(leading_number(b"99999999999999999999"), None);
    }
}
