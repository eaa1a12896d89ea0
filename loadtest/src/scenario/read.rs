//! Values of a scenario by their kinds: each read where it stands, within its bounds, or noted as wrong there.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use cauce_features::spec::source::{DeValue, Found, Section, Source, meant};

use crate::duration;

/// The text of a scenario as it is read.
pub(super) struct Reader<'t> {
    pub(super) source: Source<'t>,
    /// Where values stand that are not told.
    secrets: Vec<Range<usize>>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { source: Source::new(text), secrets: Vec::new() }
    }

    /// The text without what is secret in it.
    pub(super) fn told(&self) -> String {
        let mut told = self.source.text.to_owned();
        let mut secrets = self.secrets.clone();
        secrets.sort_by_key(|secret| secret.start);
        secrets.into_iter().rev().for_each(|secret| told.replace_range(secret, "\"***\""));
        told
    }

    pub(super) fn refuse(&mut self, at: usize, message: impl Into<String>) {
        self.source.refuse(at, message);
    }

    /// Notes that a key is missing if it is.
    pub(super) fn require(&mut self, section: Section<'_>, key: &str) {
        if !section.table.contains_key(key) {
            self.refuse(section.at, format!("`{key}` is missing"));
        }
    }

    /// A whole number.
    pub(super) fn count(&mut self, section: Section<'_>, key: &str, within: RangeInclusive<u64>) -> Option<u64> {
        let Found { value, at } = self.source.number(section, key)?;
        let number = value.parse().ok().filter(|number| within.contains(number));
        if number.is_none() {
            let (least, most) = within.into_inner();
            self.refuse(at, format!("`{key}` is a whole number from {least} to {most}, not {value}"));
        }
        number
    }

    /// A number with or without decimals.
    pub(super) fn number(&mut self, section: Section<'_>, key: &str, within: RangeInclusive<f64>) -> Option<f64> {
        let Found { value, at } = self.source.number(section, key)?;
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
        let text = self.source.text(section, key)?;
        duration::parse(text.value).map_err(|wrong| self.refuse(text.at, format!("`{key}`: {wrong}"))).ok()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, section: Section<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let Found { value, at } = self.source.text(section, key)?;
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
        let text = self.source.text(section, key)?;
        check(text.value).map_err(|wrong| self.refuse(text.at, format!("`{key}`: {wrong}"))).ok()
    }

    /// Texts by names that are free. One that is `env:NAME` is that variable of the environment; what stands in the file is not told.
    pub(super) fn secrets(&mut self, section: Section<'_>, key: &str) -> Vec<(Found<String>, Found<String>)> {
        let Some(section) = self.source.section(section, key) else { return Vec::new() };
        let mut texts = Vec::new();
        for (name, value) in section.table.iter() {
            match value.get_ref() {
                DeValue::String(text) => {
                    let Some(secret) = self.secret(text, value.span()) else { continue };
                    texts.push((
                        Found { value: name.get_ref().to_string(), at: name.span().start },
                        Found { value: secret, at: value.span().start },
                    ));
                }
                _ => self.refuse(value.span().start, format!("`{}` is a text in quotes", name.get_ref())),
            }
        }
        texts.sort_by_key(|(name, _)| name.at);
        texts
    }

    fn secret(&mut self, text: &str, at: Range<usize>) -> Option<String> {
        let Some(variable) = text.strip_prefix("env:") else {
            self.secrets.push(at);
            return Some(text.to_owned());
        };
        let found = std::env::var(variable);
        found.map_err(|_| self.refuse(at.start, format!("there is no variable `{variable}` in the environment"))).ok()
    }
}
