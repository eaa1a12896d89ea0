//! The least that a scoring service over HTTP can cost: an actix-web handler that parses the body and answers bytes that stand ready.
//!
//! What a scored request costs above it is Cauce's own doing. The program `bare` serves it for comparisons from outside, and the
//! benchmark `http` of the service within its own process.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Deserialize;

/// What a request carries. Fields that may be left out are as optional here as they are for Cauce.
#[derive(Deserialize)]
#[allow(dead_code, reason = "the handler parses and does nothing with it")]
struct Body {
    person_id: String,
    application_id: String,
    application: Fields,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "the handler parses and does nothing with it")]
struct Fields {
    monthly_income: f64,
    amount: f64,
    credit_score: Option<i64>,
    term_months: Option<i64>,
    purpose: Option<String>,
    employment: Option<String>,
    age: Option<i64>,
}

/// A server with one worker that answers every application with these bytes, and where it listens; it answers once it is awaited.
pub(crate) fn bind(address: impl ToSocketAddrs, answer: Vec<u8>) -> io::Result<(Server, SocketAddr)> {
    let answer = web::Bytes::from(answer);
    let application = move || {
        let answer = answer.clone();
        let handler = move |_: web::Json<Body>| {
            let answer = answer.clone();
            async move { HttpResponse::Ok().content_type("application/json").body(answer) }
        };
        App::new().route("/v1/score", web::post().to(handler))
    };
    let bound = HttpServer::new(application).workers(1).disable_signals().bind(address)?;
    let address = bound.addrs()[0];
    Ok((bound.run(), address))
}
