//! The comparison told: a table in the terminal, and figures in a file.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::measure::{Figures, Peak};

#[derive(Default)]
pub(crate) struct Comparison {
    lines: Vec<Line>,
}

struct Line {
    key: String,
    name: String,
    /// None where it was not looked for.
    peak: Option<Peak>,
    figures: Figures,
}

impl Comparison {
    pub(crate) fn add(&mut self, key: &str, name: &str, peak: Option<Peak>, figures: Figures) {
        let line = Line { key: key.into(), name: name.into(), peak, figures };
        println!("{}", line.text());
        self.lines.push(line);
    }

    pub(crate) fn tell(&self, rows: usize, difference: f64) {
        println!("\n{HEAD}");
        self.lines.iter().for_each(|line| println!("{}", line.text()));
        println!("peak: everything is answered, 99 % within 50 ms; the rest at half of it; CPU time for an answer");
        if self.lines.iter().any(|line| line.peak.is_some_and(|peak| peak.is_of_generator)) {
            println!("≥: the generator gave way before the system did");
        }
        if self.lines.iter().any(|line| line.figures.latencies().contains(&None)) {
            println!("–: too few answers, or the generator was late itself");
        }
        println!("{rows} rows asked of all: answers differ by {difference:.1e} at most");
    }

    pub(crate) fn write(&self, path: &Path, difference: f64) {
        let mut all = Map::new();
        for line in &self.lines {
            let figures = &line.figures;
            let mut add = |name: &str, value: Value| all.insert(format!("{}_{name}", line.key), value);
            if let Some(peak) = line.peak {
                add("peak_per_s", json!(peak.per_s));
                add("peak_is_of_generator", json!(peak.is_of_generator));
            }
            add("per_s", json!(figures.rate_per_s));
            add("p50_ms", json!(figures.p50_ms));
            add("p99_ms", json!(figures.p99_ms));
            add("p999_ms", json!(figures.p999_ms));
            add("cpu_us", json!(figures.cpu_us));
            add("memory_mib", json!(figures.memory_mib));
            add("errors", json!(figures.errors));
        }
        all.insert("answers_max_difference".into(), json!(difference));
        fs::create_dir_all(path.parent().expect("it has a directory")).expect("the target directory can be written");
        fs::write(path, format!("{:#}\n", Value::Object(all))).expect("it can be written");
    }
}

const HEAD: &str =
    "                                      peak/s   asked/s    p50 ms    p99 ms  p99.9 ms   CPU µs   MiB  errors";

impl Line {
    fn text(&self) -> String {
        let Figures { rate_per_s, cpu_us, memory_mib, errors, .. } = self.figures;
        let peak = self.peak.map_or(String::new(), |peak| {
            let sign = if peak.is_of_generator { "≥" } else { "" };
            format!("{sign}{:.0}", peak.per_s)
        });
        let [p50, p99, p999] = self.figures.latencies().map(|ms| ms.map_or("–".to_owned(), |ms| format!("{ms:.2}")));
        let name = &self.name;
        format!(
            "{name:<36}{peak:>8}{rate_per_s:>10.0}{p50:>10}{p99:>10}{p999:>10}{cpu_us:>9.0}{memory_mib:>6.0}{errors:>8}"
        )
    }
}

impl Figures {
    fn latencies(&self) -> [Option<f64>; 3] {
        [self.p50_ms, self.p99_ms, self.p999_ms]
    }
}
