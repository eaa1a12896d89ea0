//! What is wrong with the input, file and line by line: every wrong field, never the value of one.

use std::fmt::Display;
use std::path::Path;

use cauce_features::record::RecordErrors;

/// So many messages are shown; the rest is counted. A file with the wrong format would fill the terminal otherwise.
const SHOWN: usize = 100;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    messages: Vec<String>,
    lines: u64,
}

impl Problems {
    /// One line that is not a valid record, for all these reasons.
    pub(super) fn add(&mut self, file: &Path, line: u64, reasons: impl IntoIterator<Item = impl Display>) {
        self.lines += 1;
        let room = SHOWN.saturating_sub(self.messages.len());
        let reasons = reasons.into_iter().take(room);
        self.messages.extend(reasons.map(|reason| format!("{}:{line}: {reason}", file.display())));
    }

    /// Tells the user, if there is anything to tell, and whether work goes on without these lines.
    pub(super) fn accepted(&self, skip: bool) -> bool {
        if self.lines == 0 {
            return true;
        }
        self.report();
        if !skip {
            eprintln!("nothing was written; `--skip-invalid` leaves these lines out");
        }
        skip
    }

    fn report(&self) {
        for message in &self.messages {
            eprintln!("{message}");
        }
        if self.messages.len() == SHOWN {
            eprintln!("only the first {SHOWN} problems are shown");
        }
        eprintln!("lines that are not valid records: {}", self.lines);
    }
}

/// A message for each wrong field of a record.
pub(super) fn reasons(errors: &RecordErrors) -> Vec<String> {
    let RecordErrors::Fields(fields) = errors else { return vec![errors.to_string()] };
    fields
        .iter()
        .map(|field| {
            let suggestion = field.suggestion.as_ref().map(|name| format!("; did you mean `{name}`?"));
            let suggestion = suggestion.unwrap_or_default();
            format!("`{}`: given {}, expected {}{suggestion}", field.path, field.given, field.expected)
        })
        .collect()
}
