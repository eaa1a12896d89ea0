//! The contract of the Ahorro Valle front-end on how the service does: every key, on every route.

use std::time::Duration;

use serde_json::Value;

use super::server_with;
use crate::support::live::Live;

const POINT: [&str; 8] = [
    "timestamp",
    "predicciones_por_segundo",
    "tiempo_respuesta_promedio",
    "uso_memoria",
    "uso_cpu",
    "cache_hit_rate",
    "errores_por_minuto",
    "conexiones_activas",
];

const KPIS: [&str; 15] = [
    "tiempo_respuesta_p50",
    "tiempo_respuesta_p95",
    "tiempo_respuesta_p99",
    "throughput_predicciones_por_segundo",
    "tasa_exito",
    "tasa_error",
    "tasa_timeout",
    "cache_hit_rate",
    "uso_cpu_promedio",
    "uso_memoria_promedio",
    "conexiones_concurrentes",
    "queue_size_promedio",
    "predicciones_totales_dia",
    "ratio_morosos_no_morosos",
    "confianza_promedio_predicciones",
];

#[track_caller]
fn numbers<'a>(document: &Value, keys: impl IntoIterator<Item = &'a str>) {
    for key in keys {
        assert!(document[key].is_number(), "`{key}` in {document}");
    }
}

#[test]
fn real_time_metrics_have_their_keys_and_move() {
    let server = server_with(&[]);
    let mut listener = Live::connect(&server, "/ws/metricas");
    let first = listener.document();
    numbers(&first, POINT);
    assert!(first["alertas"].is_array(), "{first}");
    let later = listener.document();
    assert!(later["timestamp"].as_f64() > first["timestamp"].as_f64(), "{first} {later}");

    let said = server.get("/api/metricas-tiempo-real");
    assert_eq!((said.status, said.header("content-type")), (200, Some("application/json")));
    let said = said.json();
    numbers(&said["metricas_actuales"], POINT);
    let history = said["historial_ultimo_minuto"].as_array().unwrap();
    assert!((2..=60).contains(&history.len()), "{said}");
    history.iter().for_each(|point| numbers(point, POINT));
    assert_eq!(history.last(), Some(&said["metricas_actuales"]));
    assert!(said["alertas_activas"].is_array() && said["estado_sistema"].is_string(), "{said}");
}

#[test]
fn reports_have_their_keys_and_move() {
    let server = server_with(&[]);
    let mut listener = Live::connect(&server, "/ws/kpis");
    let first = listener.document();
    numbers(&first, ["timestamp", "periodo_analisis_minutos", "total_predicciones_analizadas"]);
    numbers(&first["metricas"], KPIS);
    let states = ["EXCELENTE", "BUENO", "REGULAR", "CRITICO"];
    assert!(states.iter().any(|state| first["estado_performance"] == *state), "{first}");
    assert!(first["recomendaciones"].is_array(), "{first}");
    std::thread::sleep(Duration::from_millis(10));
    assert!(listener.document()["timestamp"].as_f64() > first["timestamp"].as_f64());
}
