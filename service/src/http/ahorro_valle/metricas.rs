//! How the service does, as the Ahorro Valle front-end knows it: `GET /api/metricas-tiempo-real`, `/ws/metricas` and `/ws/kpis`.
//!
//! Pure functions from a snapshot to the documents of the contract. What is a problem is judged where the snapshot is made; here it is
//! only said in other words. The contract has no word for what cannot be said of nothing: it is zero.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use cauce_features::time::Timestamp;
use serde::Serialize;

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::routes::Endpoint;
use super::super::{kpis, live};
use crate::kpi::snapshot::{Alert, AlertState, ProblemKind, Severity};
use crate::kpi::{MINUTE, Point, Posted, Snapshot};

/// The mean response time beyond which the contract wants an alert, and how many alerts it takes.
const MEAN_SECONDS_MOST: f64 = 3.0;
const ALERTS_MOST: usize = 10;

const CRITICAL: &str = "critical";

/// The current second, the last minute and what is wrong.
pub async fn now(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::MetricasTiempoReal).answer(|call| {
        let posted = kpis::posted(call)?;
        Ok(Answer::json(200, &Metricas::of(&posted)))
    })
}

/// A point every second.
pub async fn each_second(request: HttpRequest, payload: Payload) -> HttpResponse {
    live::follow(&request, payload, Endpoint::WsMetricas, |posted| written(&Segundo::of(posted)))
}

/// A report every second.
pub async fn reports(request: HttpRequest, payload: Payload) -> HttpResponse {
    live::follow(&request, payload, Endpoint::WsKpis, |posted| written(&Reporte::of(posted)))
}

fn written(document: &impl Serialize) -> Bytes {
    serde_json::to_vec(document).expect("names and numbers can be written").into()
}

#[derive(Serialize)]
struct Metricas {
    metricas_actuales: Punto,
    historial_ultimo_minuto: Vec<Punto>,
    alertas_activas: Vec<Alerta>,
    estado_sistema: &'static str,
}

#[derive(Serialize)]
struct Segundo {
    #[serde(flatten)]
    punto: Punto,
    alertas: Vec<Alerta>,
}

#[derive(Clone, Default, Serialize)]
struct Punto {
    timestamp: f64,
    predicciones_por_segundo: u64,
    tiempo_respuesta_promedio: f64,
    uso_memoria: f64,
    uso_cpu: f64,
    cache_hit_rate: f64,
    errores_por_minuto: f64,
    conexiones_activas: u64,
}

#[derive(Serialize)]
struct Alerta {
    tipo: &'static str,
    mensaje: String,
    timestamp: f64,
}

#[derive(Serialize)]
struct Reporte {
    timestamp: f64,
    periodo_analisis_minutos: u64,
    total_predicciones_analizadas: u64,
    metricas: Kpis,
    estado_performance: &'static str,
    recomendaciones: Vec<&'static str>,
}

#[derive(Serialize)]
struct Kpis {
    tiempo_respuesta_p50: f64,
    tiempo_respuesta_p95: f64,
    tiempo_respuesta_p99: f64,
    throughput_predicciones_por_segundo: f64,
    tasa_exito: f64,
    tasa_error: f64,
    tasa_timeout: f64,
    cache_hit_rate: f64,
    uso_cpu_promedio: f64,
    uso_memoria_promedio: f64,
    conexiones_concurrentes: u64,
    queue_size_promedio: f64,
    predicciones_totales_dia: u64,
    ratio_morosos_no_morosos: f64,
    confianza_promedio_predicciones: f64,
}

impl Metricas {
    fn of(posted: &Posted) -> Self {
        let history = history(posted);
        Self {
            metricas_actuales: history.last().cloned().unwrap_or_default(),
            historial_ultimo_minuto: history,
            alertas_activas: alerts(&posted.snapshot),
            estado_sistema: state(&posted.snapshot),
        }
    }
}

impl Segundo {
    fn of(posted: &Posted) -> Self {
        let punto = history(posted).pop().unwrap_or_default();
        Self { punto, alertas: alerts(&posted.snapshot) }
    }
}

impl Reporte {
    fn of(posted: &Posted) -> Self {
        let snapshot = &posted.snapshot;
        Self {
            timestamp: seconds(snapshot.timestamp),
            periodo_analisis_minutos: (snapshot.window_seconds / 60.0).round().max(1.0) as u64,
            total_predicciones_analizadas: snapshot.business.window.decisions,
            metricas: Kpis::of(posted),
            estado_performance: state(snapshot),
            recomendaciones: snapshot.problems.iter().map(|problem| recommendation(problem.kind)).collect(),
        }
    }
}

impl Kpis {
    fn of(posted: &Posted) -> Self {
        let Snapshot { performance, quality, resources, business, .. } = &posted.snapshot;
        let times = &performance.response_seconds;
        let (decisions, share) = (business.window.decisions as f64, business.window.predicted_default_share);
        let defaults = decisions * share.unwrap_or_default();
        Self {
            tiempo_respuesta_p50: times.p50.unwrap_or_default(),
            tiempo_respuesta_p95: times.p95.unwrap_or_default(),
            tiempo_respuesta_p99: times.p99.unwrap_or_default(),
            throughput_predicciones_por_segundo: performance.scores_per_second,
            // Of nothing, nothing has failed.
            tasa_exito: quality.success_rate.unwrap_or(1.0),
            tasa_error: quality.error_rate.unwrap_or_default(),
            tasa_timeout: quality.timeout_rate.unwrap_or_default(),
            cache_hit_rate: quality.cache_hit_rate.unwrap_or_default(),
            uso_cpu_promedio: 100.0 * mean(posted, |point| point.cpu_ratio),
            uso_memoria_promedio: 100.0 * mean(posted, |point| point.memory_ratio),
            conexiones_concurrentes: resources.open_connections,
            queue_size_promedio: mean(posted, |point| point.queue_records as f64),
            predicciones_totales_dia: business.today.decisions,
            // Against at least one, where all are predicted to default.
            ratio_morosos_no_morosos: defaults / (decisions - defaults).max(1.0),
            confianza_promedio_predicciones: business.window.mean_confidence.unwrap_or_default(),
        }
    }
}

/// Each second of the last minute.
fn history(posted: &Posted) -> Vec<Punto> {
    let points: Vec<_> = posted.points.iter().collect();
    let punto = |end: usize| {
        let point = points[end];
        Punto {
            timestamp: seconds(point.timestamp),
            predicciones_por_segundo: point.per_second(point.scores).round() as u64,
            tiempo_respuesta_promedio: point.response_seconds.mean.unwrap_or_default(),
            uso_memoria: 100.0 * point.memory_ratio,
            uso_cpu: 100.0 * point.cpu_ratio,
            cache_hit_rate: point.cache_hit_rate.unwrap_or_default(),
            errores_por_minuto: errors_per_minute(&points[(end + 1).saturating_sub(MINUTE)..=end]),
            conexiones_activas: point.open_connections,
        }
    };
    (points.len().saturating_sub(MINUTE)..points.len()).map(punto).collect()
}

/// Errors of the minute that these points are; right after the start, as many as there would be in one.
fn errors_per_minute(points: &[&Point]) -> f64 {
    let errors: u64 = points.iter().map(|point| point.errors).sum();
    errors as f64 * MINUTE as f64 / points.len() as f64
}

fn mean(posted: &Posted, of: impl Fn(&Point) -> f64) -> f64 {
    let minute = posted.minute();
    minute.clone().map(of).sum::<f64>() / minute.count().max(1) as f64
}

/// By the three problems that the contract knows.
fn state(snapshot: &Snapshot) -> &'static str {
    let known = |kind| matches!(kind, ProblemKind::Latency | ProblemKind::Errors | ProblemKind::Throughput);
    match snapshot.problems.iter().filter(|problem| known(problem.kind)).count() {
        0 => "EXCELENTE",
        1 => "BUENO",
        2 => "REGULAR",
        _ => "CRITICO",
    }
}

fn recommendation(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Latency => {
            "Revise la carga y las etapas más lentas: el p95 del tiempo de respuesta es demasiado alto"
        }
        ProblemKind::Errors => "Revise los códigos de error más frecuentes: la tasa de error es demasiado alta",
        ProblemKind::Throughput => "Revise si los clientes llegan al servicio: se responden muy pocas predicciones",
        ProblemKind::Memory => "Reduzca las cachés o amplíe la memoria: queda poca",
        ProblemKind::CacheHits => "Revise el tamaño y la duración de la caché: acierta muy poco",
    }
}

/// What the contract wants to be told in its own right, and what else is firing: critical ones first, then the newest.
fn alerts(snapshot: &Snapshot) -> Vec<Alerta> {
    let timestamp = seconds(snapshot.timestamp);
    let mean = snapshot.performance.response_seconds.mean.filter(|mean| *mean > MEAN_SECONDS_MOST);
    let slow = mean.map(|mean| ("warning", format!("tiempo de respuesta promedio alto: {mean:.2} s")));
    let problems = snapshot.problems.iter().filter_map(|problem| match problem.kind {
        ProblemKind::Memory => Some((CRITICAL, format!("uso de memoria alto: {:.0} %", 100.0 * problem.value))),
        ProblemKind::CacheHits => Some(("info", format!("pocos aciertos de caché: {:.0} %", 100.0 * problem.value))),
        ProblemKind::Latency | ProblemKind::Errors | ProblemKind::Throughput => None,
    });
    let own = slow.into_iter().chain(problems).map(|(tipo, mensaje)| Alerta { tipo, mensaje, timestamp });
    // The problem of memory has another limit than the rule: where both are there, it was told above.
    let is_told = |alert: &Alert| {
        alert.rule == "memory" && snapshot.problems.iter().any(|problem| problem.kind == ProblemKind::Memory)
    };
    let firing = snapshot.alerts.iter().filter(|alert| alert.state == AlertState::Firing && !is_told(alert));
    let mut all: Vec<_> = own.chain(firing.map(Alerta::of)).collect();
    all.sort_by(|one, other| one.is_milder().cmp(&other.is_milder()).then(other.timestamp.total_cmp(&one.timestamp)));
    all.truncate(ALERTS_MOST);
    all
}

impl Alerta {
    fn of(alert: &Alert) -> Self {
        let tipo = match alert.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => CRITICAL,
        };
        let what = match alert.rule {
            "latency" => "tiempos de respuesta altos",
            "errors" => "demasiados errores",
            "degraded" => "demasiadas respuestas degradadas",
            "memory" => "queda poca memoria",
            "lag" => "retraso en el flujo de eventos",
            "failed_events" => "demasiados eventos rechazados",
            "log_growth" => "crecimiento anormal del registro",
            "score_drift" => "las puntuaciones se alejan de las del entrenamiento",
            "feature_drift" => "los datos se alejan de los del entrenamiento",
            "breaker_open" => "una dependencia no responde",
            _ => "condición anormal",
        };
        Self { tipo, mensaje: format!("{what} ({})", alert.id), timestamp: seconds(alert.since) }
    }

    fn is_milder(&self) -> bool {
        self.tipo != CRITICAL
    }
}

fn seconds(instant: Timestamp) -> f64 {
    instant.millis() as f64 / 1e3
}

#[cfg(test)]
mod tests;
