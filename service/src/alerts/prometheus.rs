//! The rules as a rule file of Prometheus, for who has alerts sent from there: written from the one table, so the two cannot drift apart.
//!
//! `deploy/prometheus/cauce-rules.yml` is what the default thresholds give; a test holds it to this. Prometheus knows no lower clear level:
//! there an alert is over once its signal has been at or below its threshold for `clear_for`.

use std::fmt::Write;

use super::rules::{Expression, RULES, Rule, Unit};
use crate::config;
use crate::kpi::snapshot::Severity;

const HEAD: &str = "\
# The alerts of Cauce as rules of Prometheus 2.42 and later, made by `cauce alerts rules`: thresholds are those of the configuration.
# Change them there, and make this file anew.
groups:
  - name: cauce
    rules:
";

/// Writes the file.
pub fn rules(settings: &config::Alerts) -> String {
    let mut file = HEAD.to_owned();
    for rule in &RULES {
        write(&mut file, rule, settings).expect("a String takes all text");
    }
    file
}

fn write(file: &mut String, rule: &Rule, settings: &config::Alerts) -> std::fmt::Result {
    let severity = match rule.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    let (threshold, least) = ((rule.threshold)(settings), (rule.least)(settings));
    let expressions: Vec<_> = rule.expressions.iter().map(|one| expression(one, threshold, least)).collect();
    let value = match rule.unit {
        Unit::Seconds => "{{ $value | humanizeDuration }}",
        Unit::Share => "{{ $value | humanizePercentage }}",
        Unit::Number => "{{ $value | printf \"%.2f\" }}",
    };
    let summary = rule.summarize(value, &rule.unit.tell(threshold), rule.subject);
    writeln!(file, "      - alert: Cauce{}", camel_case(rule.name))?;
    writeln!(file, "        expr: |-\n          {}", expressions.join("\n          or\n          "))?;
    writeln!(file, "        for: {}", String::from(settings.hold))?;
    writeln!(file, "        keep_firing_for: {}", String::from(settings.clear_for))?;
    writeln!(file, "        labels:\n          severity: {severity}\n          rule: {}", rule.name)?;
    writeln!(file, "        annotations:\n          summary: {}", quoted(&summary))?;
    writeln!(file, "          description: {}", quoted(rule.advice))
}

/// The comparison; a rate of too few is none, as it is in the service.
fn expression(expression: &Expression, threshold: f64, least: u64) -> String {
    let Expression { value, samples } = expression;
    match samples {
        Some(samples) => format!("(({value}) > {threshold} and ({samples}) >= {least})"),
        None => format!("({value} > {threshold})"),
    }
}

/// A JSON text is one of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn camel_case(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(usize::from(!word.is_empty()));
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::metrics::alerts::ALERT_FAMILIES;
    use crate::metrics::edge::EDGE_FAMILIES;
    use crate::metrics::kafka::KAFKA_FAMILIES;
    use crate::metrics::ledger::LEDGER_FAMILIES;
    use crate::metrics::{FAMILIES, Family};

    const COMMITTED: &str = include_str!("../../../deploy/prometheus/cauce-rules.yml");

    #[test]
    fn committed_file_is_what_the_table_and_the_default_thresholds_give() {
        let settings = Config::load(None, std::iter::empty(), Vec::new()).unwrap().alerts;
        assert_eq!(
            COMMITTED,
            rules(&settings),
            "make it anew: `cauce alerts rules > deploy/prometheus/cauce-rules.yml`"
        );
    }

    #[test]
    fn every_metric_that_a_rule_names_is_on_the_page() {
        let families: Vec<&Family> = FAMILIES
            .iter()
            .chain(&EDGE_FAMILIES)
            .chain(&LEDGER_FAMILIES)
            .chain(&KAFKA_FAMILIES)
            .chain(&ALERT_FAMILIES)
            .collect();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let expressions = RULES.iter().flat_map(|rule| rule.expressions);
        let mut named = 0;
        for text in expressions.flat_map(|one| [one.value, one.samples.unwrap_or_default()]) {
            for name in text.split(|c| !is_name(c)).filter(|word| word.starts_with("cauce_")) {
                let is_there = families.iter().any(|family| match family.kind {
                    "histogram" => {
                        ["_bucket", "_count", "_sum"].iter().any(|end| name == format!("{}{end}", family.name))
                    }
                    _ => name == family.name,
                });
                assert!(is_there, "`{name}` is in no table");
                named += 1;
            }
        }
        assert!(named >= RULES.len());
    }
}
