//! Values of a scenario by their kinds: each read where it stands, within its bounds, or noted as wrong there.

use std::ops::RangeInclusive;
use std::time::Duration;

use cauce_features::spec::source::{DeValue, Found, Section, Source, meant};

use crate::duration;

/// The text of a scenario as it is read.
pub(super) struct Reader<'t>(pub(super) Source<'t>);

impl<'t> Reader<'t> {
    pub(super) fn refuse(&mut self, at: usize, message: impl Into<String>) {
        self.0.refuse(at, message);
    }

    /// Notes that a key is missing if it is.
    pub(super) fn require(&mut self, section: Section<'_>, key: &str) {
        if !section.table.contains_key(key) {
            self.refuse(section.at, format!("`{key}` is missing"));
        }
    }

    /// A whole number.
    pub(super) fn count(&mut self, section: Section<'_>, key: &str, within: RangeInclusive<u64>) -> Option<u64> {
        let Found { value, at } = self.0.number(section, key)?;
        let number = value.parse().ok().filter(|number| within.contains(number));
        if number.is_none() {
            let (least, most) = within.into_inner();
            self.refuse(at, format!("`{key}` is a whole number from {least} to {most}, not {value}"));
        }
        number
    }

    /// A number with or without decimals.
    pub(super) fn number(&mut self, section: Section<'_>, key: &str, within: RangeInclusive<f64>) -> Option<f64> {
        let Found { value, at } = self.0.number(section, key)?;
        let number = value.parse().ok().filter(|number| within.contains(number));
        if number.is_none() {
            let (least, most) = within.into_inner();
            self.refuse(at, format!("`{key}` is a number from {least} to {most}, not {value}"));
        }
        number
    }

    /// A part of a whole.
    pub(super) fn share(&mut self, section: Section<'_>, key: &str) -> Option<f64> {
        self.number(section, key, 0.0..=1.0)
    }

    pub(super) fn duration(&mut self, section: Section<'_>, key: &str) -> Option<Duration> {
        let text = self.0.text(section, key)?;
        duration::parse(text.value).map_err(|wrong| self.refuse(text.at, format!("`{key}`: {wrong}"))).ok()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, section: Section<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let Found { value, at } = self.0.text(section, key)?;
        let found = words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let offer = meant(value, words.iter().map(|(word, _)| *word));
            self.refuse(at, format!("unknown {key} `{value}`{offer}"));
        }
        found
    }

    /// A text, checked: `check` says what is wrong with it.
    pub(super) fn text<T>(
        &mut self,
        section: Section<'_>,
        key: &str,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.0.text(section, key)?;
        check(text.value).map_err(|wrong| self.refuse(text.at, format!("`{key}`: {wrong}"))).ok()
    }

    /// Texts by names that are free.
    pub(super) fn named_texts(&mut self, section: Section<'_>, key: &str) -> Vec<(Found<String>, Found<String>)> {
        let Some(section) = self.0.section(section, key) else { return Vec::new() };
        let mut texts = Vec::new();
        for (name, value) in section.table.iter() {
            match value.get_ref() {
                DeValue::String(text) => texts.push((
                    Found { value: name.get_ref().to_string(), at: name.span().start },
                    Found { value: text.to_string(), at: value.span().start },
                )),
                _ => self.refuse(value.span().start, format!("`{}` is a text in quotes", name.get_ref())),
            }
        }
        texts.sort_by_key(|(name, _)| name.at);
        texts
    }
}
