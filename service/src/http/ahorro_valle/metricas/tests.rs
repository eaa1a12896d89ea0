//! Every key of the contract, and what is said under it.

use serde_json::{Value, json, to_value};

use super::*;
use crate::alerts::rules::RULES;
use crate::kpi::Board;
use crate::kpi::snapshot::{Percentiles, Problem};

const AT: Timestamp = Timestamp::from_millis(1_750_000_000_250);

fn point(errors: u64) -> Point {
    Point {
        timestamp: AT,
        // Two seconds in one, as after a wake-up that was late.
        seconds: 2.0,
        scores: 14,
        errors,
        response_seconds: Percentiles { mean: Some(0.002), ..Percentiles::default() },
        cache_hit_rate: Some(0.5),
        cpu_ratio: 0.25,
        memory_ratio: 0.5,
        open_connections: 3,
        queue_records: 4,
        ..Point::default()
    }
}

/// What the board shows after these snapshots.
fn posted(snapshots: impl IntoIterator<Item = Snapshot>) -> std::sync::Arc<Posted> {
    let board = Board::default();
    snapshots.into_iter().for_each(|snapshot| board.post(snapshot));
    board.newest()
}

fn with_problems(kinds: &[ProblemKind]) -> Snapshot {
    let problem = |kind: &ProblemKind| Problem {
        kind: *kind,
        value: 0.9,
        limit: 0.85,
        detail: String::new(),
        recommendation: "",
    };
    Snapshot { timestamp: AT, problems: kinds.iter().map(problem).collect(), ..Snapshot::default() }
}

fn alert(rule: &'static str, state: AlertState) -> Alert {
    Alert { since: AT, ..Alert::for_tests(rule, rule, state) }
}

fn keys(document: &Value) -> Vec<&str> {
    document.as_object().unwrap().keys().map(String::as_str).collect()
}

const POINT: [&str; 8] = [
    "cache_hit_rate",
    "conexiones_activas",
    "errores_por_minuto",
    "predicciones_por_segundo",
    "tiempo_respuesta_promedio",
    "timestamp",
    "uso_cpu",
    "uso_memoria",
];

#[test]
fn last_minute_is_told_point_by_point() {
    let snapshots = (0..70).map(|second| Snapshot { point: point(u64::from(second == 69)), ..Snapshot::default() });
    let said = to_value(Metricas::of(&posted(snapshots))).unwrap();
    assert_eq!(keys(&said), ["alertas_activas", "estado_sistema", "historial_ultimo_minuto", "metricas_actuales"]);
    assert_eq!(keys(&said["metricas_actuales"]), POINT);
    assert_eq!(said["historial_ultimo_minuto"].as_array().unwrap().len(), 60);
    let expected = json!({
        "timestamp": 1_750_000_000.25, "predicciones_por_segundo": 7, "tiempo_respuesta_promedio": 0.002,
        "uso_memoria": 50.0, "uso_cpu": 25.0, "cache_hit_rate": 0.5, "errores_por_minuto": 1.0, "conexiones_activas": 3,
    });
    assert_eq!(said["metricas_actuales"], expected);
    assert_eq!(said["estado_sistema"], "EXCELENTE");
}

#[test]
fn errors_of_a_minute_are_those_of_the_minute_before_each_point() {
    // An error every six seconds is ten a minute, at each point that has a minute before it.
    let snapshot = |second: u64| Snapshot { point: point(u64::from(second.is_multiple_of(6))), ..Snapshot::default() };
    for up in [119, 120, 500] {
        let said = Metricas::of(&posted((0..up).map(snapshot)));
        assert_eq!(said.historial_ultimo_minuto.len(), 60);
        assert!(said.historial_ultimo_minuto.iter().all(|punto| punto.errores_por_minuto == 10.0), "{up}");
    }
    // Before that it is scaled by how long the service has been up.
    assert_eq!(Segundo::of(&posted((1..=30).map(snapshot))).punto.errores_por_minuto, 10.0);
}

#[test]
fn second_is_a_point_with_its_alerts() {
    let said = to_value(Segundo::of(&posted([Snapshot { point: point(2), ..Snapshot::default() }]))).unwrap();
    let mut expected = POINT.to_vec();
    expected.insert(0, "alertas");
    assert_eq!(keys(&said), expected);
    assert_eq!(said["errores_por_minuto"], json!(120.0));
}

#[test]
fn report_has_the_keys_of_the_contract_and_only_numbers_for_nothing() {
    let mut snapshot = Snapshot { timestamp: AT, window_seconds: 299.5, point: point(0), ..Snapshot::default() };
    let said = to_value(Reporte::of(&posted([snapshot.clone()]))).unwrap();
    let expected = [
        "estado_performance",
        "metricas",
        "periodo_analisis_minutos",
        "recomendaciones",
        "timestamp",
        "total_predicciones_analizadas",
    ];
    assert_eq!(keys(&said), expected);
    assert_eq!((&said["periodo_analisis_minutos"], &said["timestamp"]), (&json!(5), &json!(1_750_000_000.25)));
    let expected = [
        "cache_hit_rate",
        "conexiones_concurrentes",
        "confianza_promedio_predicciones",
        "predicciones_totales_dia",
        "queue_size_promedio",
        "ratio_morosos_no_morosos",
        "tasa_error",
        "tasa_exito",
        "tasa_timeout",
        "throughput_predicciones_por_segundo",
        "tiempo_respuesta_p50",
        "tiempo_respuesta_p95",
        "tiempo_respuesta_p99",
        "uso_cpu_promedio",
        "uso_memoria_promedio",
    ];
    assert_eq!(keys(&said["metricas"]), expected);
    assert!(said["metricas"].as_object().unwrap().values().all(Value::is_number), "{said}");

    // The window ends between two seconds: it is five minutes still. What has just begun is not nothing.
    for (covered, minutes) in [(300.3, 5), (12.0, 1)] {
        let said = Reporte::of(&posted([Snapshot { window_seconds: covered, ..snapshot.clone() }]));
        assert_eq!(said.periodo_analisis_minutos, minutes, "{covered}");
    }

    snapshot.business.window.decisions = 10;
    for (share, ratio) in [(0.2, 0.25), (1.0, 10.0), (0.0, 0.0)] {
        snapshot.business.window.predicted_default_share = Some(share);
        let said = to_value(Reporte::of(&posted([snapshot.clone()]))).unwrap();
        assert_eq!(said["metricas"]["ratio_morosos_no_morosos"], json!(ratio), "{share}");
    }
}

#[test]
fn state_goes_by_the_three_problems_of_the_contract() {
    use ProblemKind::*;
    for (problems, state) in [
        (&[][..], "EXCELENTE"),
        (&[Memory, CacheHits], "EXCELENTE"),
        (&[Errors], "BUENO"),
        (&[Latency, Memory, Throughput], "REGULAR"),
        (&[Latency, Errors, Throughput], "CRITICO"),
    ] {
        let report = Reporte::of(&posted([with_problems(problems)]));
        assert_eq!(report.estado_performance, state, "{problems:?}");
        assert_eq!(report.recomendaciones.len(), problems.len(), "{problems:?}");
    }
}

#[test]
fn ten_alerts_are_told_of_which_critical_ones_and_the_newest_come_first() {
    let at = |seconds: i64| Timestamp::from_millis(AT.millis() - seconds * 1000);
    let firing = |rule, severity, ago| Alert { severity, since: at(ago), ..alert(rule, AlertState::Firing) };
    let mut snapshot = with_problems(&[ProblemKind::CacheHits, ProblemKind::Errors]);
    snapshot.performance.response_seconds.mean = Some(3.5);
    snapshot.alerts = vec![alert("score_drift", AlertState::Resolved)];
    // A dozen of warnings are newer than what is critical.
    snapshot.alerts.extend((1..=12).map(|ago| firing("lag", Severity::Warning, ago)));
    snapshot.alerts.push(firing("errors", Severity::Critical, 90));
    snapshot.alerts.push(firing("breaker_open", Severity::Critical, 60));
    let said = to_value(alerts(&snapshot)).unwrap();
    let said = said.as_array().unwrap();
    assert_eq!(said.len(), 10);
    for (told, (tipo, ago)) in said.iter().zip([
        ("critical", 60),
        ("critical", 90),
        ("warning", 0),
        ("info", 0),
        ("warning", 1),
        ("warning", 2),
    ]) {
        assert_eq!(keys(told), ["mensaje", "timestamp", "tipo"]);
        assert_eq!((&told["tipo"], &told["timestamp"]), (&json!(tipo), &json!(seconds(at(ago)))));
    }
    assert_eq!(said[4]["mensaje"], "retraso en el flujo de eventos (lag)");
    snapshot.performance.response_seconds.mean = Some(3.0);
    assert_eq!(alerts(&snapshot)[2].tipo, "info");
}

#[test]
fn every_rule_is_told_in_spanish() {
    for rule in &RULES {
        let said = Alerta::of(&alert(rule.name, AlertState::Firing)).mensaje;
        assert!(!said.contains("condición anormal"), "`{}` has no words of its own", rule.name);
    }
}

#[test]
fn memory_is_told_once_by_the_problem_or_else_by_the_rule() {
    for (problems, said) in [
        (&[ProblemKind::Memory][..], "uso de memoria alto: 90 %"),
        (&[ProblemKind::Errors], "queda poca memoria (memory)"),
    ] {
        let mut snapshot = with_problems(problems);
        snapshot.alerts = vec![alert("memory", AlertState::Firing)];
        let told: Vec<_> = alerts(&snapshot).into_iter().map(|alert| alert.mensaje).collect();
        assert_eq!(told, [said]);
    }
}
