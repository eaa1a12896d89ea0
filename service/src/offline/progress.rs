//! Progress bars for long work, on standard error, and only where a person watches.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many bytes of input.
pub(crate) fn bytes(task: &'static str, total: u64) -> ProgressBar {
    bar(task, total, "{msg:12} {wide_bar} {bytes}/{total_bytes} {eta}")
}

/// A bar over so many things.
pub(crate) fn items(task: &'static str, total: u64) -> ProgressBar {
    bar(task, total, "{msg:12} {wide_bar} {human_pos}/{human_len} {eta}")
}

fn bar(task: &'static str, total: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is a constant of this file");
    ProgressBar::new(total).with_style(style).with_message(task)
}
