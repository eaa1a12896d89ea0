//! The comparison told: a table in the terminal, and figures in a file.

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
    /// None where no rate is kept up with.
    figures: Option<Figures>,
}

impl Comparison {
    pub(crate) fn add(&mut self, key: &str, name: &str, peak: Option<Peak>, figures: Option<Figures>) {
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
        if self.lines.iter().any(|line| line.latencies().contains(&None)) {
            println!("–: no rate that is kept up with, too few answers, or the generator was late itself");
        }
        println!("{rows} rows asked of Cauce, FastAPI and Flask: answers differ by {difference:.1e} at most");
    }

    pub(crate) fn figures(&self, difference: f64) -> Value {
        let mut all = Map::new();
        for Line { key, peak, figures, .. } in &self.lines {
            let mut add = |name: &str, value: Value| all.insert(format!("{key}_{name}"), value);
            if let Some(peak) = peak {
                add("peak_per_s", json!(peak.per_s));
                add("peak_is_of_generator", json!(peak.is_of_generator));
            }
            let figures = figures.as_ref();
            add("per_s", json!(figures.map(|figures| figures.rate_per_s)));
            add("p50_ms", json!(figures.map(|figures| figures.p50_ms)));
            add("p99_ms", json!(figures.map(|figures| figures.p99_ms)));
            add("p999_ms", json!(figures.map(|figures| figures.p999_ms)));
            add("cpu_us", json!(figures.map(|figures| figures.cpu_us)));
            add("memory_mib", json!(figures.map(|figures| figures.memory_mib)));
            add("errors", json!(figures.map(|figures| figures.errors)));
        }
        all.insert("answers_max_difference".into(), json!(difference));
        Value::Object(all)
    }
}

const HEAD: &str =
    "                                      peak/s    good/s    p50 ms    p99 ms  p99.9 ms   CPU µs   MiB  errors";

impl Line {
    fn text(&self) -> String {
        let peak = self.peak.map_or(String::new(), |peak| {
            let sign = if peak.is_of_generator { "≥" } else { "" };
            peak.per_s.map_or("–".to_owned(), |per_s| format!("{sign}{per_s:.0}"))
        });
        let figures = self.figures.as_ref();
        let whole = |figure: fn(&Figures) -> f64| figures.map_or("–".to_owned(), |of| format!("{:.0}", figure(of)));
        let [p50, p99, p999] = self.latencies().map(|ms| ms.map_or("–".to_owned(), |ms| format!("{ms:.2}")));
        let (good, cpu_us) = (whole(|of| of.rate_per_s), whole(|of| of.cpu_us));
        let (memory_mib, errors) = (whole(|of| of.memory_mib), whole(|of| of.errors as f64));
        let name = &self.name;
        format!("{name:<36}{peak:>8}{good:>10}{p50:>10}{p99:>10}{p999:>10}{cpu_us:>9}{memory_mib:>6}{errors:>8}")
    }

    fn latencies(&self) -> [Option<f64>; 3] {
        self.figures.as_ref().map_or([None; 3], |of| [of.p50_ms, of.p99_ms, of.p999_ms])
    }
}
