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
use super::idempotency::{self, Named, Step};
use super::routes::Endpoint;
use super::score::{self, BundleRef, StopWatch};
use crate::error::{ApiError, Code};
use crate::ingest::Posted;
use crate::log::Receipt;
use crate::scoring::{Mode, Stage};

/// Scores one application.
pub async fn predecir(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Predecir);
    let answer = answer(&call, &request, payload).await;
    call.answer_in(error_answer, |_| answer)
}

async fn answer(call: &Call, request: &HttpRequest, payload: Payload) -> Result<Answer, ApiError> {
    let body = body::document(call, request, payload).await?;
    let mut watch = StopWatch::start(&call.shared().metrics);
    let (application, posted) = call.attempt(|call| read(call, &body))?;
    watch.done(Stage::Parse);
    // The contract has no id of an application: only a header names a request.
    let named = Named { body: &body, variant: "", application: None };
    let reservation = match idempotency::step(call, request, named, [application.person()]).await? {
        Step::Answered(answer) => return Ok(answer),
        Step::Score(reservation) => reservation,
    };
    let Predicted { answer, receipt, is_recorded } = call.attempt(|call| predict(call, &application, posted, watch))?;
    let reservation = reservation.filter(|_| is_recorded);
    let Some(receipt) = receipt else {
        idempotency::keep(reservation.as_ref(), &answer).await;
        return Ok(answer);
    };
    let is_named = reservation.is_some();
    let settled = async move {
        // The contract has no word for whether the application is recorded: the answer waits, and is the same.
        if receipt.accepted().await.is_ok_and(|all| all.iter().all(Result::is_ok)) {
            idempotency::keep(reservation.as_ref(), &answer).await;
        }
        answer
    };
    idempotency::finish(is_named, settled).await
}

/// An answer, and what it waits for.
struct Predicted {
    answer: Answer,
    receipt: Option<Receipt>,
    is_recorded: bool,
}

#[derive(Deserialize)]
struct Prediccion<'a> {
    #[serde(borrow)]
    datos: &'a RawValue,
}

fn predict(
    call: &Call,
    application: &Application,
    posted: Posted,
    mut watch: StopWatch<'_>,
) -> Result<Predicted, ApiError> {
    let shared = call.shared();
    let as_of = shared.clock.now();
    let mut scorer = call.worker().scorer.borrow_mut();
    let (decision, receipt) = scorer.score(application, posted, as_of, |stage| watch.done(stage))?;
    shared.metrics.scored(application, &decision);
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
        replayed: false,
    };
    let is_recorded = score::is_recorded(application, &decision);
    Ok(Predicted { answer: Answer::json(200, &answer), receipt, is_recorded })
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

fn error_answer(call: &Call, error: &ApiError) -> Answer {
    let (status, codigo, message) = match error.code {
        Code::MalformedJson | Code::EmptyBody | Code::IncompleteBody | Code::UnsupportedMediaType => {
            (400, "E001", "se espera un cuerpo JSON que sea un objeto con `datos`")
        }
        Code::BodyTooLarge | Code::BodyTimeout => (400, "E001", "el cuerpo es demasiado grande o tarda demasiado"),
        Code::InvalidFields => (400, "E002", "hay campos que faltan, de tipo erróneo o fuera de rango"),
        Code::InvalidIdempotencyKey => {
            (400, "E003", "`Idempotency-Key` no es válida: de 1 a 255 caracteres ASCII visibles")
        }
        Code::IdempotencyKeyReused => (422, "E003", "`Idempotency-Key` ya se usó con otro cuerpo"),
        Code::RequestInFlight => (409, "E003", "la misma solicitud se está respondiendo: intente de nuevo"),
        _ => (500, "E500", "error interno"),
    };
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
