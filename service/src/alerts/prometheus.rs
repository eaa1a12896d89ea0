//! The rules as a rule file of Prometheus, for who has alerts sent from there: written from the one table, so the two cannot drift apart.
//!
//! A rule is its gauge above its threshold: what the service reads, how much of it says nothing, and over which window is decided once,
//! by the service.
//! `deploy/prometheus/cauce-rules.yml` is what the default thresholds give; a test holds it to this. Prometheus knows no lower clear level:
//! there an alert is over once its signal has been at or below its threshold for `clear_for`.

use std::fmt::Write;

use super::rules::{RULES, Rule, Unit};
use crate::config::Config;
use crate::kpi::snapshot::Severity;

const HEAD: &str = "\
# The alerts of Cauce as rules of Prometheus 2.42 and later, made by `cauce alerts rules`: thresholds are those of the configuration.
# Change them there, and make this file anew.
groups:
  - name: cauce
    rules:
";

/// Writes the file.
pub fn rules(config: &Config) -> String {
    let mut file = HEAD.to_owned();
    for rule in &RULES {
        write(&mut file, rule, config).expect("a String takes all text");
    }
    file
}

fn write(file: &mut String, rule: &Rule, config: &Config) -> std::fmt::Result {
    let severity = match rule.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    let threshold = (rule.threshold)(config);
    let value = match rule.unit {
        Unit::Seconds => "{{ $value | humanizeDuration }}",
        Unit::Share => "{{ $value | humanizePercentage }}",
        Unit::Number => "{{ $value | printf \"%.2f\" }}",
    };
    let summary = rule.summarize(value, &rule.unit.tell(threshold), rule.about.placeholder());
    writeln!(file, "      - alert: Cauce{}", camel_case(rule.name))?;
    writeln!(file, "        expr: {} > {threshold}", rule.gauge)?;
    writeln!(file, "        for: {}", String::from(config.alerts.hold))?;
    writeln!(file, "        keep_firing_for: {}", String::from(config.alerts.clear_for))?;
    writeln!(file, "        labels:\n          severity: {severity}\n          rule: {}", rule.name)?;
    writeln!(file, "        annotations:\n          summary: {}", quoted(&summary))?;
    writeln!(file, "          description: {}", quoted(rule.advice))
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
    use crate::metrics::all_families;

    const COMMITTED: &str = include_str!("../../../deploy/prometheus/cauce-rules.yml");

    #[test]
    fn committed_file_is_what_the_table_and_the_default_thresholds_give() {
        let config = Config::load(None, std::iter::empty(), Vec::new()).unwrap();
        assert_eq!(COMMITTED, rules(&config), "make it anew: `cauce alerts rules > deploy/prometheus/cauce-rules.yml`");
    }

    #[test]
    fn gauge_of_every_rule_is_on_the_page() {
        for rule in &RULES {
            let family = all_families().find(|family| family.name == rule.gauge);
            assert_eq!(family.map(|family| family.kind), Some("gauge"), "`{}` is in no table", rule.gauge);
        }
    }
}
