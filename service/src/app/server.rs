//! The server: listeners, workers with their edge, and a stop that fails no request.
//!
//! It is put together from actix's own parts as `HttpServer` does it, with [`Connection`] between socket and protocol. A stop goes by
//! steps: not ready and every answer closes its connection, for as long as load balancers need to notice; then nothing is accepted, idle
//! connections are closed, requests in flight end. All of it, the last checkpoint included, is bounded by `server.shutdown_timeout`.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use actix_http::{HttpService, KeepAlive, Request};
use actix_server::ServerHandle;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service, map_config};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Server, ServiceResponse};
use actix_web::rt::net::TcpStream;
use actix_web::rt::signal::unix::{SignalKind, signal};
use actix_web::rt::time::sleep;
use actix_web::{Error, rt};

use crate::admission::PERIOD;
use crate::config;
use crate::http::Shared;
use crate::http::connection::{Connection, Facts};
use crate::http::edge::Edge;
use crate::http::pulse;

/// How long connections that were accepted last may take to reach their workers.
const LAST_ACCEPTED: Duration = Duration::from_millis(20);

/// Listens on every address that the setting stands for.
pub fn listen(server: &config::Server) -> io::Result<Vec<TcpListener>> {
    let (mut listeners, mut failed) = (Vec::new(), None);
    for address in server.listen.to_socket_addrs()? {
        match listen_on(address, server.backlog) {
            Ok(listener) => listeners.push(listener),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

fn listen_on(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // The standard library has a backlog of its own; a second call only changes it.
    rustix::net::listen(&listener, i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(listener)
}

/// Starts the workers. `application` is called by each with its edge.
pub fn start<A, I, S>(shared: &Arc<Shared>, listeners: Vec<TcpListener>, application: A) -> io::Result<Server>
where
    A: Fn(&Rc<Edge>) -> I + Clone + Send + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>
        + 'static,
{
    let server = &shared.server;
    let mut builder = Server::build()
        .workers(server.workers)
        .max_concurrent_connections(server.connections.div_ceil(server.workers))
        // The stop below has a bound of its own.
        .shutdown_timeout(server.shutdown_timeout.get().as_secs().max(1))
        .disable_signals();
    let numbers = Arc::new(AtomicUsize::new(0));
    for listener in listeners {
        let (shared, application, numbers) = (shared.clone(), application.clone(), numbers.clone());
        builder = builder.listen("http", listener, move || {
            let number = numbers.fetch_add(1, Ordering::Relaxed) % shared.server.workers;
            let edge = Edge::new(shared.clone(), number);
            rt::spawn(pulse::tend(edge.clone()));
            let (front, opened) = (edge.clone(), edge.clone());
            let served = map_config(application(&edge), |()| AppConfig::default());
            let served =
                apply_fn_factory(served, move |request: Request, service: &S::Service| front.serve(request, service));
            let http = HttpService::<Connection, _, _>::build()
                // Both are looked after by the connections themselves: actix would arm a timer for each request.
                .keep_alive(KeepAlive::Os)
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(shared.server.head_timeout.get())
                .on_connect_ext(|connection: &Connection, data| {
                    drop(data.insert::<Rc<Facts>>(connection.facts().clone()))
                })
                .h1(served);
            fn_service(move |stream: TcpStream| {
                let peer = stream.peer_addr().ok();
                // An answer is written at once.
                let _ = stream.set_nodelay(true);
                let connection = Connection::new(stream, &opened.connections, Instant::now());
                async move { Ok((connection, peer)) }
            })
            .and_then(http)
        })?;
    }
    Ok(builder.run())
}

/// Stops the server on SIGTERM or SIGINT.
pub async fn stop_on_signal(handle: ServerHandle, shared: Arc<Shared>) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received: only a kill stops this process");
        return;
    };
    std::future::poll_fn(|context| match terminate.poll_recv(context) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => interrupt.poll_recv(context).map(|_| ()),
    })
    .await;
    tracing::info!("told to stop: answering what is in flight");
    stop(&handle, &shared).await;
}

async fn stop(handle: &ServerHandle, shared: &Shared) {
    let (drain, rest) = (shared.server.drain.get(), shared.server.shutdown_timeout.get());
    end_by(Instant::now() + drain + rest);
    shared.stopping.store(true, Ordering::Relaxed);
    shared.reloader.stop();
    sleep(drain).await;
    // A worker drops what it has not taken up when it is told to stop: so first nothing more may come to it.
    handle.pause().await;
    sleep(LAST_ACCEPTED).await;
    shared.gate.closing.store(true, Ordering::Relaxed);
    // A quarter of the time is left for the checkpoint.
    let until = Instant::now() + rest * 3 / 4;
    while shared.gate.open.load(Ordering::Relaxed) > 0 && Instant::now() < until {
        sleep(PERIOD).await;
    }
    let open = shared.gate.open.load(Ordering::Relaxed);
    if open > 0 {
        tracing::error!(open, "connections are cut: their requests took longer than `server.shutdown_timeout` allows");
    }
    handle.stop(open == 0).await;
}

/// Ends the process at this instant if nothing else has: a disk that stalls holds nobody's restart up.
fn end_by(instant: Instant) {
    let watch = move || {
        thread::sleep(instant.saturating_duration_since(Instant::now()));
        tracing::error!(
            "not stopped within `server.shutdown_timeout`: ending without the last checkpoint; the next start applies the log"
        );
        std::process::exit(1);
    };
    if let Err(error) = thread::Builder::new().name("cauce-stop".into()).spawn(watch) {
        tracing::error!(%error, "a stop that does not end will not be ended");
    }
}
