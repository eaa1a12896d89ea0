//! The process around the routes: what a slow client, a signal or a missing file does to it.

use super::{BUNDLE, JSON, application, server, server_with};
use crate::support::{Directory, Server, serve};

/// A request for a score whose body is still to come.
fn head_of(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/score HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {JSON}\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Sends a request byte by byte until the service has enough of it.
fn trickle(server: &Server, bytes: &[u8]) -> Option<u16> {
    let mut connection = server.connect();
    for byte in bytes {
        if !connection.try_write(&[*byte]) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    connection.outcome().map(|answer| answer.status)
}

#[test]
fn client_that_sends_its_head_byte_by_byte_is_cut_off() {
    let server = server_with(&["server.head_timeout=1500ms"]);
    let head = format!("GET /livez HTTP/1.1\r\nx-slow: {}\r\n\r\n", "x".repeat(500));
    let outcome = trickle(&server, head.as_bytes());
    assert!(matches!(outcome, None | Some(408)), "{outcome:?}");
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn client_that_pauses_within_its_body_is_answered_408() {
    let server = server_with(&["server.body_timeout=500ms", "server.head_timeout=1500ms"]);
    let body = application("c-1", "a").to_string();
    let mut connection = server.connect();
    connection.write(head_of(&body).as_bytes());
    connection.write(&body.as_bytes()[..10]);
    let answer = connection.answer();
    assert_eq!((answer.status, &answer.json()["code"]), (408, &"body_timeout".into()));
}

#[test]
fn client_that_never_ends_its_chunked_body_is_let_go_after_the_answer() {
    let server = server_with(&["server.body_timeout=500ms", "server.head_timeout=1500ms"]);
    for (method, path, content_type, status) in [
        ("POST", "/v1/score", JSON, 408),
        ("POST", "/v1/score", "text/plain", 415),
        ("POST", "/nowhere", JSON, 404),
        ("PUT", "/v1/score", JSON, 405),
        ("GET", "/livez", JSON, 200),
    ] {
        let mut connection = server.connect();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n");
        connection.write(format!("{head}transfer-encoding: chunked\r\n\r\n4\r\n    \r\n").as_bytes());
        // It waits for the end of the connection.
        assert_eq!(connection.answer().status, status, "{method} {path} {content_type}");
    }
}

#[test]
fn chunked_body_is_scored_and_its_connection_stays_open() {
    let server = server();
    let body = application("c-1", "a").to_string();
    let (first, second) = body.split_at(20);
    let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
    let whole = format!("{}{}0\r\n\r\n", chunk(first), chunk(second));
    let head = format!("POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\n");
    let mut connection = server.connect();
    connection.write(format!("{head}\r\n{whole}{head}connection: close\r\n\r\n{whole}").as_bytes());
    let answers = connection.answer();
    assert_eq!(answers.status, 200, "{}", answers.text());
    assert_eq!(
        answers.text().matches("HTTP/1.1 200 OK").count(),
        1,
        "the second follows the first: {}",
        answers.text()
    );
}

#[test]
fn body_that_ends_before_its_length_does_no_harm() {
    let server = server();
    let mut connection = server.connect();
    connection.write(head_of(&application("c-1", "a").to_string()).as_bytes());
    connection.write(b"{\"person_id\"");
    connection.close_write();
    let status = connection.outcome().map(|answer| answer.status);
    assert!(matches!(status, None | Some(400)), "{status:?}");
    assert_eq!(server.get("/v1/people/c-1/features").status, 404);
}

#[test]
fn request_in_flight_is_answered_when_the_service_is_told_to_stop() {
    let server = server();
    let body = application("c-1", "a").to_string();
    let (mut idle, mut connection) = (server.connect(), server.connect());
    idle.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    connection.write(head_of(&body).as_bytes());
    connection.write(&body.as_bytes()[..10]);
    // The worker has taken up both once it answers a later connection of its own.
    while super::metric(&server, r#"cauce_http_requests_total{route="/livez",status="2xx"}"#) < 1.0 {}
    server.terminate();
    while !server.log().contains("told to stop") {}
    connection.write(&body.as_bytes()[10..]);
    let answer = connection.answer();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn missing_runtime_is_one_message_that_says_the_command() {
    for (library, said) in [(Some("/nowhere/libonnxruntime.so"), "does not exist"), (None, "is not set")] {
        let data = Directory::new("serve-no-runtime");
        let mut command = serve(data.root(), ["--bundle", BUNDLE]);
        match library {
            Some(path) => command.env("ORT_DYLIB_PATH", path),
            None => command.env_remove("ORT_DYLIB_PATH"),
        };
        let output = command.output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        let message = log.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(message.contains("`make runtime`") && message.contains(said), "{message}");
        assert_eq!(log.lines().filter(|line| line.contains("ORT_DYLIB_PATH")).count(), 1, "{log}");
        assert!(!log.contains("panic"), "{log}");
    }
}

#[test]
fn bundle_that_cannot_be_served_ends_the_start_with_its_name() {
    let directory = Directory::new("serve-no-bundle");
    let empty = directory.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let broken = directory.path("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("bundle.json"), "{\"format\": 1").unwrap();
    for bundle in [directory.path("none"), empty, broken] {
        let output = serve(directory.root(), ["--bundle".as_ref(), bundle.as_os_str()]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let message = said.lines().last().unwrap();
        assert!(message.starts_with("error: cannot load the bundle at `") && message.contains("bundle.json"), "{said}");
    }
}

#[test]
fn address_that_is_taken_ends_the_start_with_its_name() {
    let server = server();
    let address = server.url("").replace("http://", "");
    let directory = Directory::new("serve-taken");
    // A flag of its own wins over a setting.
    let output = serve(directory.root(), ["--listen", &address, "--bundle", BUNDLE]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("cannot listen on `{address}`")), "{said}");
}
