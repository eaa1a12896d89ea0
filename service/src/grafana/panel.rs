//! A panel: metrics as they are looked at, written as queries in PromQL.
//!
//! Counters are shown as rates, histograms as quantiles, gauges as they are, each instance on its own unless summed.

use std::iter;

use serde_json::{Value, json};

use crate::metrics::{Family, all_families};

/// Which Prometheus is asked: the one that is chosen on the page.
pub(super) fn data_source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// What is shown together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    /// Said of the metric's own name where it is empty.
    pub(super) title: &'static str,
    pub(super) shows: Shows,
}

/// How metrics are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shows {
    /// By all labels.
    Each(&'static [&'static str]),
    /// By these labels, and summed over the others.
    By(&'static str, &'static [&'static str]),
    /// Several quantiles of a histogram, of these series.
    Quantiles(&'static str, &'static str),
    /// The sum over an instance.
    Sum(&'static str),
    /// The highest of an instance.
    Highest(&'static str),
    /// A part of all that a counter counted, by these labels.
    Share { of: &'static str, matching: &'static str, by: &'static [&'static str] },
    /// By how much the first is ahead of the second.
    Ahead(&'static str, &'static str),
    /// The newest values as a table.
    Table(&'static [&'static str]),
    /// What Prometheus itself says of its rules.
    Firing,
}

const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
const SELECTED: &str = "job=~\"$job\",instance=~\"$instance\"";

/// One query and what its lines are called.
struct Query {
    expression: String,
    legend: String,
}

impl Panel {
    /// A metric's own.
    pub(super) fn of(name: &'static str) -> Self {
        Self { title: "", shows: Shows::By(name, known(name).labels) }
    }

    /// The metrics that it shows.
    pub(super) fn families(&self) -> Vec<&'static str> {
        match self.shows {
            Shows::Each(names) | Shows::Table(names) => names.to_vec(),
            Shows::By(name, _)
            | Shows::Quantiles(name, _)
            | Shows::Sum(name)
            | Shows::Highest(name)
            | Shows::Share { of: name, .. } => vec![name],
            Shows::Ahead(first, second) => vec![first, second],
            Shows::Firing => Vec::new(),
        }
    }

    /// What it shows each metric by.
    #[cfg(test)]
    pub(super) fn labels(&self) -> Vec<(&'static str, &'static [&'static str])> {
        match self.shows {
            Shows::By(name, by) | Shows::Share { of: name, by, .. } => vec![(name, by)],
            _ => Vec::new(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let is_table = matches!(self.shows, Shows::Table(_));
        let families: Vec<&Family> = self.families().into_iter().map(known).collect();
        let first = families.first().copied();
        let title = match self.title {
            "" => first.map_or(String::new(), spoken),
            title => title.to_owned(),
        };
        let help: Vec<&str> = families.iter().map(|family| family.help).collect();
        let targets: Vec<Value> =
            self.queries().into_iter().enumerate().map(|(n, query)| query.json(n, is_table)).collect();
        json!({
            "type": if is_table { "table" } else { "timeseries" },
            "title": title,
            "description": help.join(" "),
            "datasource": data_source(),
            "fieldConfig": {"defaults": {"unit": self.unit(first)}, "overrides": []},
            "options": match is_table {
                true => json!({"showHeader": true}),
                false => json!({"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}),
            },
            "targets": targets,
        })
    }

    fn unit(&self, first: Option<&Family>) -> &'static str {
        let Some(Family { name, .. }) = first else { return "short" };
        match self.shows {
            Shows::Share { .. } => "percentunit",
            Shows::Table(_) => "none",
            _ if name.ends_with("_seconds") => "s",
            _ if name.ends_with("_bytes") => "bytes",
            _ if name.ends_with("_probability") || name.ends_with("_ratio") => "percentunit",
            // Seconds of CPU a second: cores.
            _ if name.ends_with("_seconds_total") => "short",
            _ if name.ends_with("_total") => "cps",
            _ => "short",
        }
    }

    fn queries(&self) -> Vec<Query> {
        let one = |expression: String, legend: &str| vec![Query { expression, legend: legend.to_owned() }];
        match self.shows {
            Shows::Each(names) => {
                names.iter().map(|name| each(known(name), known(name).labels, names.len() > 1)).collect()
            }
            Shows::By(name, by) => vec![each(known(name), by, false)],
            Shows::Quantiles(name, matching) => QUANTILES
                .map(|quantile| Query {
                    expression: quantile_of(quantile, name, matching, &[]),
                    legend: format!("p{}", quantile * 100.0),
                })
                .into(),
            Shows::Sum(name) => one(format!("sum by (instance) ({})", select(name, "")), "{{instance}}"),
            Shows::Highest(name) => one(format!("max by (instance) ({})", select(name, "")), "{{instance}}"),
            Shows::Share { of, matching, by } => {
                let by_labels = if by.is_empty() { String::new() } else { format!(" by ({})", by.join(", ")) };
                let part = rate(of, matching);
                one(format!("sum{by_labels} ({part}) / sum{by_labels} ({})", rate(of, "")), &legend(by, of))
            }
            Shows::Ahead(first, second) => {
                one(format!("{} - {}", select(first, ""), select(second, "")), "{{instance}}")
            }
            Shows::Table(names) => {
                names.iter().map(|name| Query { expression: select(name, ""), legend: String::new() }).collect()
            }
            Shows::Firing => {
                one("ALERTS{alertstate=\"firing\",job=~\"$job|\"}".to_owned(), "{{alertname}} {{instance}}")
            }
        }
    }
}

/// A metric as its kind asks for, by these labels.
fn each(family: &Family, by: &[&str], is_named: bool) -> Query {
    let name = family.name;
    let (expression, mut legend) = match family.kind {
        "counter" if by.is_empty() => (format!("sum by (instance) ({})", rate(name, "")), "{{instance}}".to_owned()),
        "counter" => (format!("sum by ({}) ({})", by.join(", "), rate(name, "")), legend(by, name)),
        "histogram" => (quantile_of(0.95, name, "", by), format!("p95 {}", legend(by, ""))),
        // An instant is told by how long ago it was.
        _ if name.ends_with("_timestamp_seconds") || name.ends_with("_start_time_seconds") => {
            (format!("time() - ({} > 0)", select(name, "")), instance_and(by))
        }
        _ => (select(name, ""), instance_and(by)),
    };
    if is_named {
        legend = format!("{legend} {}", spoken(family).to_lowercase());
    }
    Query { expression, legend: legend.trim().to_owned() }
}

fn quantile_of(quantile: f64, name: &str, matching: &str, by: &[&str]) -> String {
    let labels: Vec<&str> = iter::once("le").chain(by.iter().copied()).collect();
    let buckets = rate(&format!("{name}_bucket"), matching);
    format!("histogram_quantile({quantile}, sum by ({}) ({buckets}))", labels.join(", "))
}

fn rate(name: &str, matching: &str) -> String {
    format!("rate({}[$__rate_interval])", select(name, matching))
}

fn select(name: &str, matching: &str) -> String {
    match matching {
        "" => format!("{name}{{{SELECTED}}}"),
        matching => format!("{name}{{{SELECTED},{matching}}}"),
    }
}

fn legend(by: &[&str], otherwise: &str) -> String {
    match by {
        [] => otherwise.to_owned(),
        by => by.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" "),
    }
}

fn instance_and(by: &[&str]) -> String {
    format!("{{{{instance}}}} {}", legend(by, "")).trim_end().to_owned()
}

/// Its name as a title: without prefix, unit and underscores.
fn spoken(family: &Family) -> String {
    let name = family.name.strip_prefix("cauce_").unwrap_or(family.name);
    let name = ["_total", "_seconds", "_bytes"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
    let words = name.replace('_', " ");
    words[..1].to_uppercase() + &words[1..]
}

fn known(name: &str) -> &'static Family {
    all_families().find(|family| family.name == name).unwrap_or_else(|| panic!("`{name}` is no metric of the tables"))
}

impl Query {
    fn json(self, number: usize, is_table: bool) -> Value {
        let reference = char::from(b'A' + number as u8).to_string();
        let mut target = json!({
            "refId": reference,
            "datasource": data_source(),
            "expr": self.expression,
            "legendFormat": self.legend,
        });
        if is_table {
            target["format"] = json!("table");
            target["instant"] = json!(true);
        }
        target
    }
}
