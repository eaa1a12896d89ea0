//! What the service says of a person, of its bundle, of itself.

use serde_json::{Value, json};

use super::{JSON, NOW, application, expect, metric, payment, score, server, take};

/// Every route, with an address that can be asked for.
const ROUTES: [(&str, &str, &str); 29] = [
    ("post", "/v1/score", "/v1/score"),
    ("post", "/v1/score/batch", "/v1/score/batch"),
    ("post", "/v1/events", "/v1/events"),
    ("post", "/v1/events/batch", "/v1/events/batch"),
    ("get", "/v1/people/{id}/features", "/v1/people/c-1/features"),
    ("get", "/v1/people/{id}/timeline", "/v1/people/c-1/timeline"),
    ("get", "/v1/people/{id}", "/v1/people/c-1"),
    ("delete", "/v1/people/{id}", "/v1/people/c-1"),
    ("get", "/v1/admin/digest", "/v1/admin/digest"),
    ("post", "/v1/admin/checkpoint", "/v1/admin/checkpoint"),
    ("get", "/v1/bundle", "/v1/bundle"),
    ("post", "/admin/bundle", "/admin/bundle"),
    ("post", "/admin/bundle/rollback", "/admin/bundle/rollback"),
    ("get", "/healthz", "/healthz"),
    ("get", "/livez", "/livez"),
    ("get", "/readyz", "/readyz"),
    ("get", "/metrics", "/metrics"),
    ("get", "/v1/kpis", "/v1/kpis"),
    ("get", "/v1/kpis/live", "/v1/kpis/live"),
    ("get", "/v1/alerts", "/v1/alerts"),
    ("get", "/openapi.json", "/openapi.json"),
    ("get", "/docs", "/docs"),
    ("get", "/docs/page.js", "/docs/page.js"),
    ("get", "/", "/"),
    ("get", "/dashboard/{file}", "/dashboard/main.js"),
    ("post", "/predecir", "/predecir"),
    ("get", "/api/metricas-tiempo-real", "/api/metricas-tiempo-real"),
    ("get", "/ws/metricas", "/ws/metricas"),
    ("get", "/ws/kpis", "/ws/kpis"),
];

const METRICS: [(&str, &str); 69] = [
    ("cauce_http_requests_total", "counter"),
    ("cauce_http_request_duration_seconds", "histogram"),
    ("cauce_score_stage_duration_seconds", "histogram"),
    ("cauce_scores_total", "counter"),
    ("cauce_scores_degraded_total", "counter"),
    ("cauce_over_budget_total", "counter"),
    ("cauce_model_runs_stopped_total", "counter"),
    ("cauce_model_sessions_replaced_total", "counter"),
    ("cauce_breaker_state", "gauge"),
    ("cauce_breaker_opened_total", "counter"),
    ("cauce_cache_lookups_total", "counter"),
    ("cauce_cache_entries", "gauge"),
    ("cauce_applications_unrecorded_total", "counter"),
    ("cauce_events_total", "counter"),
    ("cauce_events_coarsened_total", "counter"),
    ("cauce_people", "gauge"),
    ("cauce_people_in_memory", "gauge"),
    ("cauce_history_memory_bytes", "gauge"),
    ("cauce_state_disk_bytes", "gauge"),
    ("cauce_log_bytes", "gauge"),
    ("cauce_log_segments", "gauge"),
    ("cauce_log_end_position", "gauge"),
    ("cauce_log_waiting_records", "gauge"),
    ("cauce_log_waiting_bytes", "gauge"),
    ("cauce_log_writable", "gauge"),
    ("cauce_checkpoint_position", "gauge"),
    ("cauce_erasures_pending", "gauge"),
    ("cauce_bound_bytes", "gauge"),
    ("cauce_bound_seconds", "gauge"),
    ("cauce_bound_items", "gauge"),
    ("cauce_live_clients", "gauge"),
    ("cauce_bundle_info", "gauge"),
    ("cauce_bundle_reloads_total", "counter"),
    ("cauce_panics_total", "counter"),
    ("cauce_decisions_replayed_total", "counter"),
    ("cauce_ledger_entries", "gauge"),
    ("cauce_ledger_memory_bytes", "gauge"),
    ("cauce_ledger_waiting_bytes", "gauge"),
    ("cauce_ledger_writable", "gauge"),
    ("cauce_ledger_dropped_total", "counter"),
    ("cauce_ledger_too_large_total", "counter"),
    ("cauce_ledger_evicted_early_total", "counter"),
    ("cauce_ledger_unreadable_total", "counter"),
    ("cauce_requests_refused_total", "counter"),
    ("cauce_event_loop_delay_seconds", "gauge"),
    ("cauce_refusal_probability", "gauge"),
    ("cauce_slow_clients_total", "counter"),
    ("cauce_http_connections", "gauge"),
    ("cauce_requests_in_flight", "gauge"),
    ("process_cpu_seconds_total", "counter"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_virtual_memory_bytes", "gauge"),
    ("process_start_time_seconds", "gauge"),
    ("process_threads", "gauge"),
    ("process_open_fds", "gauge"),
    ("process_max_fds", "gauge"),
    ("cauce_traces_exported_total", "counter"),
    ("cauce_traces_dropped_total", "counter"),
    ("cauce_traces_waiting", "gauge"),
    ("cauce_alerts_firing", "gauge"),
    ("cauce_response_p95_seconds", "gauge"),
    ("cauce_error_ratio", "gauge"),
    ("cauce_degraded_ratio", "gauge"),
    ("cauce_refused_events_ratio", "gauge"),
    ("cauce_lag_seconds", "gauge"),
    ("cauce_memory_ratio", "gauge"),
    ("cauce_log_growth_ratio", "gauge"),
    ("cauce_model_score_psi", "gauge"),
    ("cauce_model_feature_psi", "gauge"),
];

fn named<'a>(document: &'a Value, name: &str) -> &'a Value {
    document["features"].as_array().unwrap().iter().find(|feature| feature["name"] == name).unwrap()
}

#[test]
fn features_of_a_person_have_their_names_values_and_windows() {
    let server = server();
    take(&server, &payment("c/ñ 1", "1", "2026-06-10T12:00:00Z", 12));
    take(&server, &payment("c/ñ 1", "2", "2026-06-19T12:00:00Z", 0));
    let said = expect(server.get("/v1/people/c%2F%C3%B1%201/features"));
    assert_eq!((&said["person_id"], &said["as_of"]), (&json!("c/ñ 1"), &json!(NOW)));
    assert_eq!(said["history"]["newest_event_age_seconds"], json!(86_400.0));
    let late = json!({"name": "late_payments_30d", "value": 1.0, "from": "payment", "aggregate": "count", "window": "sliding 30d"});
    assert_eq!(named(&said, "late_payments_30d"), &late);
    assert_eq!(named(&said, "paid_90d")["field"], "amount");
    // No application is asked about: what comes from one is missing.
    assert_eq!(named(&said, "amount_to_income")["value"], json!(null));

    let earlier = expect(server.get("/v1/people/c%2F%C3%B1%201/features?as_of=2026-06-15T07:00:00-05:00"));
    assert_eq!(earlier["as_of"], "2026-06-15T12:00:00Z");
    assert_eq!(named(&earlier, "payments_90d")["value"], json!(1.0));
    for query in ["as_of=yesterday", "asof=2026-06-15T12:00:00Z", "as_of=2026-06-15"] {
        let answer = server.get(&format!("/v1/people/c%2F%C3%B1%201/features?{query}"));
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_query")), "{query}");
    }
}

#[test]
fn values_of_a_person_are_those_that_the_model_was_given() {
    let server = server();
    take(&server, &payment("c-1", "1", "2026-06-10T12:00:00Z", 12));
    let read = expect(server.get("/v1/people/c-1/features"));
    let scored = score(&server, &application("c-1", "a"));
    for (position, feature) in read["features"].as_array().unwrap().iter().enumerate() {
        if feature.get("from").is_some() {
            assert_eq!(feature["value"], scored["vector"][position], "{feature}");
        }
    }
}

#[test]
fn bundle_is_described_down_to_its_features_and_reasons() {
    let server = server();
    let bundle = expect(server.get("/v1/bundle"));
    for key in ["hash", "specification"] {
        let hash = bundle[key].as_str().unwrap();
        assert!(hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{key}: {hash}");
    }
    assert!(bundle["version"].is_string() && bundle["model"]["cauce.features"].is_string(), "{bundle}");
    assert!(bundle["approve_below"].as_f64().unwrap() <= bundle["decline_from"].as_f64().unwrap(), "{bundle}");
    assert_eq!((&bundle["horizon"], &bundle["clock_skew"]), (&json!("90d"), &json!("5m")));
    for feature in bundle["features"].as_array().unwrap() {
        assert!(feature["reason_code"].is_string() && feature["reason"].is_string(), "{feature}");
    }
    assert_eq!(named(&bundle, "transactions_session")["window"], "session with gaps up to 30m, at most 1d");
    assert_eq!(named(&bundle, "spending_last_month")["window"], "previous calendar month");
}

#[test]
fn health_says_what_is_served() {
    let server = server();
    assert_eq!(expect(server.get("/livez")), json!({"status": "alive"}));
    let breakers = json!({"log": "closed", "model": "closed", "shelf": "closed", "state": "closed"});
    assert_eq!(expect(server.get("/readyz")), json!({"status": "ready", "breakers": breakers}));
    let (health, bundle) = (expect(server.get("/healthz")), server.get("/v1/bundle").json());
    assert_eq!(health["status"], "ok");
    assert_eq!(health["bundle"]["hash"], bundle["hash"]);
    let head = server.send("HEAD", "/healthz", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn every_metric_has_its_help_and_type_and_no_series_is_there_twice() {
    let server = server();
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let page = answer.text();
    for (name, kind) in METRICS {
        assert_eq!(page.matches(&format!("# HELP {name} ")).count(), 1, "{name}");
        assert_eq!(page.matches(&format!("# TYPE {name} {kind}\n")).count(), 1, "{name}");
    }
    assert_eq!(page.matches("# TYPE ").count(), METRICS.len());
    let mut series = std::collections::BTreeSet::new();
    for line in page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok() && series.insert(name), "{line}");
        assert!(METRICS.iter().any(|(family, _)| name.starts_with(family)), "{line}");
    }
}

#[test]
fn counters_move_with_what_happens() {
    let server = server();
    take(&server, &payment("c-1", "1", "2026-06-10T12:00:00Z", 0));
    for (body, status) in [(application("c-1", "a"), 200), (json!({}), 400)] {
        assert_eq!(server.post("/v1/score", JSON, body.to_string()).status, status);
    }
    let batch = json!([application("c-2", "a"), application("c-3", "a"), 5]);
    expect(server.post("/v1/score/batch", JSON, batch.to_string()));
    server.post("/v1/events", JSON, "{}");
    server.get("/nowhere");
    for (series, expected) in [
        (r#"cauce_http_requests_total{route="/v1/score",status="2xx"}"#, 1.0),
        (r#"cauce_http_requests_total{route="/v1/score",status="4xx"}"#, 1.0),
        (r#"cauce_http_requests_total{route="unmatched",status="4xx"}"#, 1.0),
        (r#"cauce_http_request_duration_seconds_count{route="/v1/score"}"#, 2.0),
        (r#"cauce_score_stage_duration_seconds_count{stage="model"}"#, 2.0),
        (r#"cauce_events_total{outcome="new"}"#, 1.0),
        (r#"cauce_events_total{outcome="invalid"}"#, 1.0),
        ("cauce_people", 3.0),
        ("cauce_panics_total", 0.0),
    ] {
        assert_eq!(metric(&server, series), expected, "{series}");
    }
    let decided = ["approve", "refer", "decline"]
        .map(|decision| metric(&server, &format!(r#"cauce_scores_total{{mode="full",decision="{decision}"}}"#)));
    assert_eq!(decided.iter().sum::<f64>(), 3.0);
}

#[test]
fn interface_lists_every_route_and_nothing_else() {
    let server = server();
    let answer = server.get("/openapi.json");
    assert_eq!(answer.header("content-type"), Some(JSON));
    let document = expect(answer);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let paths = document["paths"].as_object().unwrap();
    let mut listed: Vec<(&str, &str)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| (method.as_str(), path.as_str()))
        })
        .collect();
    listed.sort_unstable();
    let mut expected = ROUTES.map(|(method, path, _)| (method, path));
    expected.sort_unstable();
    assert_eq!(listed, expected);

    let mut ids = std::collections::BTreeSet::new();
    take(&server, &payment("c-1", "1", "2026-06-10T12:00:00Z", 0));
    for (method, path, address) in ROUTES {
        let operation = &paths[path][method];
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{path}");
        assert!(operation["responses"].as_object().is_some_and(|responses| !responses.is_empty()), "{path}");
        let declared = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let in_path = declared.iter().filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(in_path, path.matches('{').count(), "{path}");
        let status = server.send(&method.to_uppercase(), address, &[], b"").status;
        assert!(![404, 405, 500].contains(&status), "{path} is answered with {status}");
    }
}

#[test]
fn examples_of_the_interface_can_be_sent_as_they_stand() {
    let server = server();
    let document = expect(server.get("/openapi.json"));
    for (method, path, address) in ROUTES.into_iter().filter(|(method, ..)| *method == "post") {
        let example = &document["paths"][path][method]["requestBody"]["content"][JSON]["example"];
        let answer = server.post(address, JSON, example.to_string());
        let refused = answer.json()["code"].clone();
        // An example event happens when it happens: the clock of this server may stand before it.
        let in_time = ["event_in_future", "event_too_late"].iter().any(|code| refused == *code);
        // Only one bundle was ever served.
        let in_order = refused == "no_previous_bundle";
        assert!([200, 201].contains(&answer.status) || in_time || in_order, "{path}: {}", answer.text());
        for item in answer.json()["results"].as_array().into_iter().flatten() {
            assert!(item.get("problem").is_none(), "{path}: {item}");
        }
    }
}

#[test]
fn documentation_needs_no_network_but_the_service() {
    let server = server();
    let page = server.get("/docs");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'"), "{policy}");
    let script = server.get("/docs/page.js");
    assert_eq!(script.status, 200);
    for text in [page.text(), script.text()] {
        for outside in ["http://", "https://", "src=\"//", "@import"] {
            assert!(!text.contains(outside), "{outside} in {text}");
        }
    }
    // Every script and style that the page loads is served here.
    for source in page.text().split("src=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()) {
        assert_eq!(server.get(&format!("/{source}")).status, 200, "{source}");
    }
}
