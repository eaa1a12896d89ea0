//! The dashboard for Grafana (`deploy/grafana/cauce.json`), made from the tables of metrics, so that the two cannot drift apart: what a panel
//! shows follows from the kind of its metrics, and a metric that no panel names gets one of its own.

mod panel;
mod rows;

use serde_json::{Value, json};

use crate::metrics::{Family, all_families};
use panel::{Panel, data_source};
use rows::{ROWS, Row};

/// Grafana lays panels out on so many columns.
const COLUMNS: usize = 24;
const PANEL_WIDTH: usize = 8;
const PANEL_HEIGHT: usize = 8;

/// The whole document.
pub fn dashboard() -> Value {
    json!({
        "uid": "cauce",
        "title": "Cauce",
        "description": "Made by `cauce grafana-dashboard` from the tables of metrics.",
        "tags": ["cauce"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "annotations": {"list": []},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
            variable("job", "Job", "label_values(cauce_bundle_info, job)"),
            variable("instance", "Instance", "label_values(cauce_bundle_info{job=~\"$job\"}, instance)"),
        ]},
        "panels": panels(),
    })
}

fn variable(name: &str, label: &str, query: &str) -> Value {
    json!({
        "name": name,
        "label": label,
        "type": "query",
        "datasource": data_source(),
        "definition": query,
        "query": {"query": query, "refId": name},
        "multi": true,
        "includeAll": true,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        // When the time range changes, as instances come and go.
        "refresh": 2,
        "sort": 1,
    })
}

fn panels() -> Vec<Value> {
    let (mut shown, mut top) = (Vec::new(), 0);
    for row in &ROWS {
        let panels: Vec<Panel> = row.panels.iter().copied().chain(of_its_own(row)).collect();
        shown.push(json!({
            "id": shown.len() + 1,
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        }));
        top += 1;
        for (number, panel) in panels.iter().enumerate() {
            let mut document = panel.json();
            let (across, down) = (number % (COLUMNS / PANEL_WIDTH), number / (COLUMNS / PANEL_WIDTH));
            document["id"] = json!(shown.len() + 1);
            document["gridPos"] = json!({
                "x": across * PANEL_WIDTH,
                "y": top + down * PANEL_HEIGHT,
                "w": PANEL_WIDTH,
                "h": PANEL_HEIGHT,
            });
            shown.push(document);
        }
        top += panels.len().div_ceil(COLUMNS / PANEL_WIDTH) * PANEL_HEIGHT;
    }
    shown
}

/// Panels of the metrics that belong to this row by their names, and that no panel of any row shows.
fn of_its_own(row: &Row) -> impl Iterator<Item = Panel> {
    let is_shown = |family: &Family| {
        let mut panels = ROWS.iter().flat_map(|row| row.panels);
        panels.any(|panel| panel.families().contains(&family.name))
    };
    all_families()
        .filter(move |family| !is_shown(family) && std::ptr::eq(row_of(family), row))
        .map(|family| Panel::of(family.name))
}

/// The row with the longest beginning of its name.
fn row_of(family: &Family) -> &'static Row {
    let fit =
        |row: &Row| row.begins.iter().filter(|begin| family.name.starts_with(**begin)).map(|begin| begin.len()).max();
    ROWS.iter().max_by_key(|row| fit(row)).expect("there are rows")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every metric that an expression names, without what a histogram's series add.
    fn named(dashboard: &Value) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for target in
            dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array()).flatten()
        {
            let expression = target["expr"].as_str().unwrap();
            let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            named.extend(words.filter(|word| word.starts_with("cauce_") || word.starts_with("process_")).map(base));
        }
        named
    }

    fn base(word: &str) -> String {
        let of_histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| word.strip_suffix(end));
        of_histogram.unwrap_or(word).to_owned()
    }

    #[test]
    fn it_names_every_metric_there_is_and_no_other() {
        let known: BTreeSet<String> = all_families().map(|family| family.name.to_owned()).collect();
        assert_eq!(named(&dashboard()), known);
    }

    #[test]
    fn what_a_panel_shows_a_metric_by_is_a_label_of_it() {
        for panel in ROWS.iter().flat_map(|row| row.panels) {
            for (name, by) in panel.labels() {
                let family = all_families().find(|family| family.name == name).unwrap();
                assert!(by.iter().all(|label| family.labels.contains(label)), "{name} by {by:?}");
            }
        }
    }

    #[test]
    fn panels_stand_beside_each_other_and_not_over_each_other() {
        let (dashboard, mut taken) = (dashboard(), BTreeSet::new());
        for (number, panel) in dashboard["panels"].as_array().unwrap().iter().enumerate() {
            assert_eq!(panel["id"], json!(number + 1));
            let of = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in of("x")..of("x") + of("w") {
                assert!((of("y")..of("y") + of("h")).all(|y| x < 24 && taken.insert((x, y))), "{panel}");
            }
        }
    }

    #[test]
    fn each_unit_is_that_of_the_metric() {
        for (name, expression, unit) in [
            ("cauce_people", "cauce_people{job=~\"$job\",instance=~\"$instance\"}", "short"),
            ("cauce_log_bytes", "cauce_log_bytes{job=~\"$job\",instance=~\"$instance\"}", "bytes"),
            (
                "cauce_over_budget_total",
                "sum by (route) (rate(cauce_over_budget_total{job=~\"$job\",instance=~\"$instance\"}[$__rate_interval]))",
                "cps",
            ),
            (
                "cauce_kafka_commit_duration_seconds",
                "histogram_quantile(0.95, sum by (le) (rate(cauce_kafka_commit_duration_seconds_bucket{job=~\"$job\",instance=~\"$instance\"}[$__rate_interval])))",
                "s",
            ),
            (
                "process_start_time_seconds",
                "time() - (process_start_time_seconds{job=~\"$job\",instance=~\"$instance\"} > 0)",
                "s",
            ),
        ] {
            let panel = Panel::of(name).json();
            assert_eq!(panel["targets"][0]["expr"], expression);
            assert_eq!(panel["fieldConfig"]["defaults"]["unit"], unit, "{name}");
        }
    }
}
