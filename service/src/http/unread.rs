//! Lets go of clients that leave a chunked body unfinished (S5).
//!
//! When an announced body was not read to its end, actix closes the connection soon after the answer. Of a chunked one that
//! has been dropped it reads on for as long as the client pleases, so that idle clients could hold every connection there
//! is. A body that is still held while its answer is written is treated as an announced one: so it is held until then.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use bytes::Bytes;
use futures_core::Stream;

/// Serves a request and holds its body, if it is chunked, until the answer is written.
pub fn hold<S>(mut request: ServiceRequest, service: &S) -> impl Future<Output = Result<S::Response, S::Error>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>>,
{
    let held = request.headers().contains_key(TRANSFER_ENCODING).then(|| {
        let held = Held(Rc::new(RefCell::new(request.take_payload())));
        request.set_payload(Payload::Stream { payload: Box::pin(held.clone()) });
        held
    });
    let answer = service.call(request);
    async move {
        let answer = answer.await?;
        Ok(match held {
            Some(held) => answer.map_body(|_, body| BoxBody::new(Answer { body, _held: held })),
            None => answer,
        })
    }
}

/// The body of a request, shared by its reader and its answer.
#[derive(Clone)]
struct Held(Rc<RefCell<Payload>>);

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// The body of an answer.
struct Answer {
    body: BoxBody,
    _held: Held,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
