//! The contract of the Ahorro Valle front-end: here `POST /predecir`, as a thin adapter over scoring; in `metricas` how the service does.
//!
//! Its fields are the application's under their aliases, its errors have their own form, and its times are seconds.

pub mod metricas;

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
use super::call::Call;
use super::idempotency;
use super::routes::Endpoint;
use super::score::BundleRef;
use super::single::{Outcome, Single};
use crate::deadline::Work;
use crate::degrade::{Mode, Reasons};
use crate::error::{ApiError, Code};
use crate::ingest::Posted;

/// Scores one application.
pub async fn predecir(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Predecir);
    idempotency::to_the_end(call, |call| score(call, request, payload)).await
}

async fn score(call: Call, request: HttpRequest, payload: Payload) -> HttpResponse {
    // The contract has no id of an application: only a header names a request.
    let (work, wants_vector, is_named_by_its_id) = (Work::Predecir, false, false);
    let single = Single { call: &call, request: &request, work, wants_vector, is_named_by_its_id };
    // The contract has no word for whether the application is recorded: the answer is the same.
    let predicted = single.score(payload, read, |outcome| predict(&call, outcome)).await;
    call.answer_in(error_answer, |_| predicted)
}

#[derive(Deserialize)]
struct Prediccion<'a> {
    #[serde(borrow)]
    datos: &'a RawValue,
}

fn predict(call: &Call, Outcome { decided, kept, .. }: &Outcome<'_>) -> Result<Answer, ApiError> {
    let Some(score) = decided.score() else {
        return Err(ApiError::new(Code::NoScore, "neither a score nor the contract's word for none can be given"));
    };
    let probability = score.probability_of_default;
    let answer = Respuesta {
        prediccion: u8::from(probability >= 0.5),
        probabilidades: [1.0 - probability, probability],
        confianza: score.confidence,
        tiempo_procesamiento: seconds(call.started().elapsed()),
        request_id: call.request_id(),
        historial: decided.history.known,
        decision: score.decision.as_str(),
        modo: decided.made.mode,
        motivos: decided.reasons(*kept),
        modelo: BundleRef::of(&decided.bundle),
        replayed: false,
    };
    Ok(Answer::json(200, &answer))
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
    let specification = call.shared().plan().specification();
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
    motivos: Reasons,
    modelo: BundleRef<'a>,
    /// The last member: see `idempotency`.
    replayed: bool,
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
        Code::InvalidBudget => (400, "E001", "`X-Latency-Budget-Ms` debe ser un número entero de milisegundos"),
        Code::NoScore | Code::Stopping => (503, "E503", "no se puede dar una respuesta ahora; intente más tarde"),
        Code::InvalidIdempotencyKey => {
            (400, "E003", "`Idempotency-Key` no es válida: de 1 a 255 caracteres ASCII visibles")
        }
        Code::IdempotencyKeyReused => (422, "E003", "`Idempotency-Key` ya se usó con otro cuerpo"),
        Code::RequestInFlight => (409, "E003", "la misma solicitud se está respondiendo: intente de nuevo"),
        Code::RateLimited => (429, "E429", "demasiadas solicitudes: intente de nuevo más tarde"),
        Code::Overloaded => (503, "E503", "el servicio está sobrecargado: intente de nuevo"),
        _ => (500, "E500", "error interno"),
    }
}

fn error_answer(call: &Call, error: &ApiError) -> Answer {
    let (status, codigo, message) = words(error.code);
    let record = &call.shared().plan().specification().application;
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
