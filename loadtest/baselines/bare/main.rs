//! Serves the bare handler: `bare 127.0.0.1:8080 answer.json` answers every application with that file's bytes.

mod handler;

use std::{env, fs, io};

use mimalloc::MiMalloc;

/// That of the service.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> io::Result<()> {
    let [listen, answer] = <[String; 2]>::try_from(env::args().skip(1).collect::<Vec<_>>()).map_err(|given| {
        io::Error::other(format!("{} words given: `bare ADDRESS ANSWER_FILE` has two", given.len()))
    })?;
    let (server, address) = handler::bind(listen, fs::read(answer)?)?;
    println!("listening on http://{address}");
    actix_web::rt::System::new().block_on(server)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::mpsc;
    use std::thread;

    use super::handler;

    #[test]
    fn an_application_is_answered_with_the_bytes_and_nonsense_is_refused() {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let (server, address) = handler::bind("127.0.0.1:0", b"{\"p\":1}".to_vec()).unwrap();
                tell.send(address).unwrap();
                server.await
            })
        });
        let address = told.recv().unwrap();
        let application = r#"{"monthly_income":1200.5,"amount":5000}"#;
        for (body, status, answer) in [
            (format!(r#"{{"person_id":"p","application_id":"a","application":{application}}}"#), "200", "{\"p\":1}"),
            (r#"{"person_id":"p"}"#.to_owned(), "400", ""),
        ] {
            let mut stream = TcpStream::connect(address).unwrap();
            let head = "POST /v1/score HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json";
            write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
            assert!(text.ends_with(answer), "{text}");
        }
    }
}
