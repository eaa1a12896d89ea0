//! `POST /predecir`: the contract of the Ahorro Valle front-end, as a thin adapter over scoring.
//!
//! Its fields are the application's under their aliases, its errors have their own form, and its times are seconds.

use std::time::Duration;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use cauce_features::application::Application;
use cauce_features::record::{FieldError, Unknown, text_member};
use cauce_features::spec::Record;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::Answer;
use super::body;
use super::call::Call;
use super::routes::Endpoint;
use super::score::{BundleRef, StopWatch};
use crate::error::{ApiError, Code};
use crate::ingest::Posted;
use crate::log::Receipt;
use crate::scoring::{Mode, Stage};

/// Scores one application.
pub async fn predecir(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Predecir);
    let body = body::document(&call, &request, payload).await;
    let predicted = match call.attempt(|call| predict(call, body?)) {
        // The contract has no word for whether the application is recorded: the answer waits, and is the same.
        Ok((answer, Some(receipt))) => {
            let _ = receipt.accepted().await;
            Ok(answer)
        }
        Ok((answer, None)) => Ok(answer),
        Err(error) => Err(error),
    };
    call.answer_in(error_answer, |_| predicted)
}

#[derive(Deserialize)]
struct Prediccion<'a> {
    #[serde(borrow)]
    datos: &'a RawValue,
}

fn predict(call: &Call, body: Bytes) -> Result<(Answer, Option<Receipt>), ApiError> {
    let shared = call.shared();
    let mut watch = StopWatch::start(&shared.metrics);
    let (application, posted) = read(call, &body)?;
    watch.done(Stage::Parse);
    let as_of = shared.clock.now();
    let mut scorer = call.worker().scorer.borrow_mut();
    let (decision, receipt) = scorer.score(&application, posted, as_of, |stage| watch.done(stage))?;
    shared.metrics.scored(&application, &decision);
    let probability = decision.score.probability_of_default;
    let answer = Respuesta {
        prediccion: u8::from(probability >= 0.5),
        probabilidades: [1.0 - probability, probability],
        confianza: decision.score.confidence,
        tiempo_procesamiento: seconds(call.started().elapsed()),
        request_id: call.request_id(),
        historial: decision.history.known,
        decision: decision.score.decision.as_str(),
        modo: decision.mode,
        modelo: BundleRef::of(&shared.bundle),
    };
    Ok((Answer::json(200, &answer), receipt))
}

fn read(call: &Call, body: &Bytes) -> Result<(Application, Posted), ApiError> {
    let not_the_contract = || ApiError::new(Code::MalformedJson, "an object with the object `datos` is expected");
    let Prediccion { datos } = serde_json::from_slice(body).map_err(|_| not_the_contract())?;
    let fields = datos.get().as_bytes();
    // A list of one object would pass for an object with one member.
    if !body.trim_ascii_start().starts_with(b"{") || !fields.starts_with(b"{") {
        return Err(not_the_contract());
    }
    let person = text_member(fields, &["user_id", "cliente_id"]).or_else(|| text_member(body, &["session_id"]));
    let specification = call.shared().bundle.plan().specification();
    let person = person.unwrap_or_default();
    let application = Application::from_fields(specification, &person, call.request_id(), fields, Unknown::Ignore)?;
    Ok((application, Posted::Fields(body.slice_ref(fields))))
}

/// The keys up to `request_id` are the contract; the front-end ignores the others.
#[derive(Serialize)]
struct Respuesta<'a> {
    prediccion: u8,
    probabilidades: [f32; 2],
    confianza: f32,
    tiempo_procesamiento: f64,
    request_id: &'a str,
    historial: bool,
    decision: &'a str,
    modo: Mode,
    modelo: BundleRef<'a>,
}

#[derive(Serialize)]
struct Fallo<'a> {
    error: &'a str,
    codigo: &'a str,
    tiempo_procesamiento: f64,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errores: Vec<CampoErroneo<'a>>,
}

#[derive(Serialize)]
struct CampoErroneo<'a> {
    campo: &'a str,
    #[serde(flatten)]
    error: &'a FieldError,
}

/// The answer to a request that is refused before it is read.
pub fn refusal(error: &ApiError, request_id: &str) -> Answer {
    let (status, codigo, message) = words(error.code);
    let fallo = Fallo { error: message, codigo, tiempo_procesamiento: 0.0, request_id, errores: Vec::new() };
    Answer::json(status, &fallo)
}

fn words(code: Code) -> (u16, &'static str, &'static str) {
    match code {
        Code::MalformedJson | Code::EmptyBody | Code::IncompleteBody | Code::UnsupportedMediaType => {
            (400, "E001", "se espera un cuerpo JSON que sea un objeto con `datos`")
        }
        Code::BodyTooLarge | Code::BodyTimeout => (400, "E001", "el cuerpo es demasiado grande o tarda demasiado"),
        Code::InvalidFields => (400, "E002", "hay campos que faltan, de tipo erróneo o fuera de rango"),
        Code::RateLimited => (429, "E429", "demasiadas solicitudes: intente de nuevo más tarde"),
        Code::Overloaded => (503, "E503", "el servicio está sobrecargado: intente de nuevo"),
        _ => (500, "E500", "error interno"),
    }
}

fn error_answer(call: &Call, error: &ApiError) -> Answer {
    let (status, codigo, message) = words(error.code);
    let record = &call.shared().bundle.plan().specification().application;
    let fields = error.errors.iter().map(|error| CampoErroneo { campo: front_end_name(record, &error.path), error });
    let fallo = Fallo {
        error: message,
        codigo,
        tiempo_procesamiento: seconds(call.started().elapsed()),
        request_id: call.request_id(),
        errores: fields.collect(),
    };
    Answer::json(status, &fallo)
}

/// The alias under which the front-end knows the field at a path.
fn front_end_name<'a>(record: &'a Record, path: &'a str) -> &'a str {
    let name = path.strip_prefix("application.").unwrap_or(path);
    let field = record.fields.iter().find(|field| field.name == name);
    field.and_then(|field| field.aliases.first()).map_or(name, String::as_str)
}

fn seconds(took: Duration) -> f64 {
    took.as_micros() as f64 / 1e6
}
