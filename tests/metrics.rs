//! What Prometheus and Grafana are given: the metrics page by the conventions of Prometheus, however many clients there were, and what
//! `deploy/` keeps, which is made of the same tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::history::{BUNDLE, JSON, NOW, application, payment};
use crate::support::{Directory, Server, cauce, repository};

/// Requests of so many people, products, addresses and programs.
const CLIENTS: usize = 60;

#[test]
fn what_is_shown_after_traffic_keeps_to_the_conventions_of_prometheus() {
    let server = server();
    traffic(&server);
    assert_conventions(&server.get("/metrics").text());
}

#[test]
fn no_series_is_made_of_what_clients_send() {
    let server = server();
    let before = series(&server.get("/metrics").text());
    traffic(&server);
    let after = series(&server.get("/metrics").text());
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(after.len(), before.len());
}

#[test]
fn every_series_has_the_labels_of_its_family_in_the_table() {
    let server = server();
    let (page, table) = (server.get("/metrics").text(), table());
    for series in series(&page) {
        let (name, rest) = series.split_once('{').unwrap_or((series.as_str(), ""));
        let bare = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| table.get(name.strip_suffix(end)?));
        let expected = table.get(name).or(bare).unwrap_or_else(|| panic!("`{name}` is not in the table"));
        let labels: BTreeSet<&str> = labels(rest).filter(|label| *label != "le").collect();
        assert_eq!(labels, expected.iter().map(String::as_str).collect(), "{series}");
    }
}

#[test]
fn alert_rules_are_understood_by_prometheus() {
    let directory = repository().join("deploy/prometheus");
    let rules: Vec<_> = crate::support::files(&directory)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|kind| kind == "yml"))
        .collect();
    assert!(!rules.is_empty(), "there are rules in {}", directory.display());
    rules.iter().for_each(|file| check_rules(file));
}

#[test]
fn every_alert_rule_fires_above_its_threshold_only() {
    let file = repository().join("deploy/prometheus/cauce-rules.yml");
    let rules = fs::read_to_string(&file).unwrap();
    let all = |key: &'static str| rules.lines().filter_map(move |line| line.trim_start().strip_prefix(key));
    let rules: Vec<_> = all("- alert: ").zip(all("expr: ").map(|text| text.split_once(" > ").unwrap())).collect();
    assert!(rules.len() >= 10 && all("- alert: ").count() == all("expr: ").count(), "{}", rules.len());
    let series = |(_, (gauge, threshold)): &(&str, (&str, &str))| {
        let above = threshold.parse::<f64>().unwrap() + 0.01;
        let values = [("firing", above.to_string()), ("quiet", (*threshold).to_owned()), ("unknown", "NaN".to_owned())];
        values.map(|(name, value)| {
            let values = [value.as_str(); 20].join(" ");
            json!({"series": format!("{gauge}{{instance={name:?}}}"), "values": values})
        })
    };
    // Which series have fired after five minutes: each rule for one of its three, and once.
    let fired = rules
        .iter()
        .map(|(alert, _)| json!({"labels": format!("{{alertname={alert:?},instance=\"firing\"}}"), "value": 1}));
    let expected = json!({
        "expr": "count by (alertname, instance) (ALERTS{alertstate=\"firing\"})", "eval_time": "5m",
        "exp_samples": fired.collect::<Vec<_>>(),
    });
    let test = json!({
        "interval": "15s", "input_series": rules.iter().flat_map(series).collect::<Vec<_>>(),
        "promql_expr_test": [expected],
    });
    let directory = Directory::new("alert-rules");
    // JSON is YAML.
    let tests = json!({"rule_files": [file], "evaluation_interval": "15s", "tests": [test]});
    let output =
        promtool().args(["test", "rules"]).arg(directory.write("tests.yml", &tests.to_string())).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
}

#[test]
fn dashboard_that_is_kept_is_that_of_the_tables() {
    let made = cauce(["grafana-dashboard"]).expect_success().stdout();
    assert!(
        made == fs::read_to_string(kept_dashboard()).unwrap(),
        "make it anew: `cauce grafana-dashboard > deploy/grafana/cauce.json`"
    );
}

#[test]
fn queries_of_the_dashboard_are_understood_by_prometheus() {
    let dashboard: Value = serde_json::from_slice(&fs::read(kept_dashboard()).unwrap()).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let mut rules = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            // What Grafana fills in before it asks.
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
            rules.push(json!({"record": format!("query:{}", rules.len()), "expr": query}));
        }
    }
    assert!(rules.len() > 40, "{}", rules.len());
    let directory = Directory::new("dashboard-queries");
    // JSON is YAML.
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    check_rules(&directory.write("queries.yml", &groups.to_string()));
}

/// Panics with what promtool finds on a metrics page.
#[track_caller]
pub(crate) fn assert_conventions(page: &str) {
    let mut promtool = promtool();
    let mut child = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[track_caller]
fn check_rules(file: &Path) {
    let output = promtool().args(["check", "rules"]).arg(file).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
}

fn promtool() -> Command {
    let fetched = repository().join(".runtime/promtool/promtool");
    let program = if fetched.is_file() { fetched } else { "promtool".into() };
    let found = Command::new(&program).arg("--version").output().is_ok();
    assert!(found, "these tests need promtool: `make promtool` brings it");
    Command::new(program)
}

fn kept_dashboard() -> std::path::PathBuf {
    repository().join("deploy/grafana/cauce.json")
}

fn server() -> Server {
    Server::start(["--bundle", BUNDLE, "--clock", NOW, "--workers", "2"])
}

/// What many different clients send, right and wrong.
fn traffic(server: &Server) {
    for client in 0..CLIENTS {
        let (person, agent, product) = (format!("c-{client}"), format!("agent/{client}"), format!("product-{client}"));
        let headers = [("content-type", JSON), ("user-agent", agent.as_str()), ("x-product", product.as_str())];
        let wrong = json!({"person_id": person, "application": {format!("field_{client}"): client}});
        for (method, path, body) in [
            ("POST", "/v1/score".to_owned(), application(&person, "a").to_string()),
            ("POST", "/v1/score".to_owned(), wrong.to_string()),
            ("POST", "/v1/events".to_owned(), payment(&person, "1", "2026-06-10T12:00:00Z", 0).to_string()),
            ("GET", format!("/v1/people/{person}/features"), String::new()),
            ("DELETE", format!("/v1/people/{person}"), String::new()),
            ("GET", format!("/nowhere/{client}?query={client}"), String::new()),
        ] {
            server.send(method, &path, &headers, body.as_bytes());
        }
    }
}

/// Every series of the page, without its value.
fn series(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// The names of labels; their values hold no `=` on this page.
fn labels(series: &str) -> impl Iterator<Item = &str> {
    series.trim_end_matches('}').split(',').filter_map(|label| Some(label.split_once('=')?.0))
}

/// The labels of every family, as `cauce metrics` tells them.
fn table() -> BTreeMap<String, Vec<String>> {
    let said = cauce(["metrics"]).expect_success().stdout();
    let rows = said.lines().skip(2).map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let labels = |text: &str| text.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
    rows.map(|row| (row[1].trim_matches('`').to_owned(), labels(row[3]))).collect()
}
