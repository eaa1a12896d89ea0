//! `cauce health`: asks a running service whether it is ready. Images and units then need no HTTP client of their own.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

/// An orchestrator asks again soon: a service that takes longer than this is not healthy.
const PATIENCE: Duration = Duration::from_secs(2);

/// Only the status line is read.
const STATUS_BYTES: u64 = 64;

/// Ask a running service whether it is ready; ends with 0 when it is.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// What to ask: plain HTTP.
    #[arg(long, default_value = "http://127.0.0.1:8080/readyz")]
    url: String,
}

impl Health {
    /// Asks once.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let (authority, path) = split(&self.url)?;
        let status = ask(authority, path).map_err(|error| format!("`{}` does not answer: {error}", self.url))?;
        println!("{status}");
        let healthy = status.split(' ').nth(1) == Some("200");
        Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The authority (`host:port`) and the path.
fn split(url: &str) -> Result<(&str, &str), String> {
    let rest = url.strip_prefix("http://").ok_or("`--url` should be like `http://127.0.0.1:8080/readyz`")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Ok((authority, if path.is_empty() { "/" } else { path }))
}

fn ask(authority: &str, path: &str) -> std::io::Result<String> {
    let address = match authority.to_socket_addrs() {
        Err(_) => (authority, 80).to_socket_addrs()?.next(),
        Ok(mut addresses) => addresses.next(),
    };
    let address = address.ok_or_else(|| std::io::Error::other("the host has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(STATUS_BYTES).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn url_splits_into_authority_and_path() {
        assert_eq!(split("http://127.0.0.1:8080/readyz"), Ok(("127.0.0.1:8080", "/readyz")));
        assert_eq!(split("http://cauce:8080"), Ok(("cauce:8080", "/")));
        assert!(split("https://cauce/readyz").is_err());
        assert!(split("127.0.0.1:8080").is_err());
    }
}
