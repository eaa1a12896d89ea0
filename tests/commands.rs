//! The command line itself.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::{Server, cauce};

/// Answers one connection with these bytes.
fn answer_once(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(answer).unwrap();
    });
    url
}

#[test]
fn health_ends_with_zero_only_for_a_service_that_is_ready() {
    let ready = answer_once(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(cauce(["health", "--url", &ready]).code(), Some(0));
    let starting = answer_once(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(cauce(["health", "--url", &starting]).code(), Some(1));
}

#[test]
fn health_says_that_nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    drop(listener);
    let finished = cauce(["health", "--url", &url]);
    assert_eq!(finished.code(), Some(1));
    assert!(finished.stderr().contains("does not answer"), "{}", finished.stderr());
}

#[test]
fn service_is_ready_on_the_port_that_it_says_and_ends_with_zero_when_told_to() {
    let server = Server::start(["--bundle", "model/artifacts/ahorro-valle"]);
    assert_eq!(cauce(["health", "--url", &server.url("/readyz")]).code(), Some(0));
    let bundle = server.get("/v1/bundle");
    assert_eq!((bundle.status, bundle.header("content-type")), (200, Some("application/json")));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn wrong_argument_names_the_right_one() {
    let finished = cauce(["confg"]);
    assert_eq!(finished.code(), Some(2));
    assert!(finished.stderr().contains("config"), "{}", finished.stderr());
}
