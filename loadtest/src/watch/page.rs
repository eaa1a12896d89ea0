//! A metrics page: asked for over HTTP, and what stands on it in the text format of Prometheus.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The largest page that is read: Cauce's has 85 KiB.
const PAGE_MOST: usize = 8 << 20;
/// How long one reading may take, the way there included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    authority: String,
    path: String,
}

impl Page {
    /// Of a path at this host and port, or of a whole address.
    pub fn parse(page: &str, authority: &str) -> Result<Self, String> {
        let (authority, path) = match page.strip_prefix("http://") {
            Some(address) => address.split_at(address.find('/').unwrap_or(address.len())),
            None => (authority, page),
        };
        let path = if path.is_empty() { "/" } else { path };
        let is_whole = path.starts_with('/') && !path.bytes().any(|byte| byte <= b' ') && authority.contains(':');
        let wrong = || {
            format!(
                "a metrics page is a path as `/metrics` or an address as `http://127.0.0.1:9090/metrics`, not `{page}`"
            )
        };
        is_whole.then(|| Self { authority: authority.to_owned(), path: path.to_owned() }).ok_or_else(wrong)
    }

    /// The page as it is now, or why it cannot be read.
    pub fn read(&self) -> Result<String, String> {
        let answer = self.fetch().map_err(|error| format!("the metrics page cannot be read: {error}"))?;
        let wrong = || "the metrics page is no answer over HTTP".to_owned();
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(wrong)?;
        match head.split(' ').nth(1).ok_or_else(wrong)? {
            "200" => Ok(body.to_owned()),
            status => Err(format!("the metrics page is answered with {status}")),
        }
    }

    /// The answer, whole. HTTP/1.0, so that it is not sent in chunks and its end is that of the connection.
    fn fetch(&self) -> io::Result<String> {
        let end = Instant::now() + PATIENCE;
        let address = self.authority.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request = format!("GET {} HTTP/1.0\r\nhost: {}\r\nconnection: close\r\n\r\n", self.path, self.authority);
        stream.write_all(request.as_bytes())?;
        let (mut answer, mut piece) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(_) if answer.len() > PAGE_MOST => return Err(io::Error::other("it is longer than 8 MiB")),
                Ok(count) => answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        String::from_utf8(answer).map_err(|_| io::Error::other("it is no text"))
    }
}

/// Samples of a page: those of a metric, and of them those that have all of these labels.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Selector {
    metric: String,
    labels: Vec<(String, String)>,
}

impl Selector {
    /// A metric with whatever labels.
    pub fn metric(name: &str) -> Self {
        Self { metric: name.to_owned(), labels: Vec::new() }
    }

    /// The sum of what fits; nothing where nothing does.
    pub fn sum(&self, page: &str) -> Option<f64> {
        let fitting = page.lines().filter_map(|line| self.value(line));
        fitting.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// The value of a line that fits.
    fn value(&self, line: &str) -> Option<f64> {
        let rest = line.strip_prefix(&self.metric)?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None if rest.starts_with(' ') => (Vec::new(), rest),
            None => return None,
        };
        let fits = self.labels.iter().all(|label| labels.contains(label));
        // Behind the value there may be the time.
        fits.then(|| rest.split_ascii_whitespace().next()?.parse().ok()).flatten()
    }
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "a metric is a name as `process_open_fds`, or one with labels as `events{{kind=\"new\"}}`, not `{text}`"
            )
        };
        let end = text.find('{').unwrap_or(text.len());
        let (metric, rest) = text.split_at(end);
        let labels = match rest.strip_prefix('{').map(labels) {
            None => Vec::new(),
            Some(Some((labels, ""))) => labels,
            Some(_) => return Err(wrong()),
        };
        let is_name =
            !metric.is_empty() && metric.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
        if is_name { Ok(Self { metric: metric.to_owned(), labels }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        let labels: Vec<_> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{{{}}}", labels.join(","))
    }
}

/// Labels up to the brace that ends them, and what follows it.
fn labels(mut text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let (value, rest) = quoted(rest)?;
        labels.push((name.trim().to_owned(), value));
        text = rest;
    }
}

/// What stands up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (place, letter) in text.char_indices() {
        match letter {
            'n' if is_escaped => value.push('\n'),
            '\\' if !is_escaped => {
                is_escaped = true;
                continue;
            }
            '"' if !is_escaped => return Some((value, &text[place + 1..])),
            letter => value.push(letter),
        }
        is_escaped = false;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"# HELP events_total Events, by what became of them.
# TYPE events_total counter
events_total{outcome="new",source="http"} 7
events_total{outcome="new",source="kafka"} 3
events_total{outcome="late, \"very\"}",source="http"} 1 1700000000000
events_total_other 99

process_open_fds 31
memory 1.5e6
nothing NaN
"#;

    #[test]
    fn samples_that_fit_are_added_up() {
        let cases = [
            ("process_open_fds", Some(31.0)),
            ("events_total", Some(11.0)),
            (r#"events_total{outcome="new"}"#, Some(10.0)),
            (r#"events_total{source="http", outcome="new"}"#, Some(7.0)),
            (r#"events_total{outcome="late, \"very\"}"}"#, Some(1.0)),
            (r#"events_total{outcome="old"}"#, None),
            ("memory", Some(1.5e6)),
            ("memo", None),
            ("absent", None),
        ];
        for (selector, expected) in cases {
            assert_eq!(Selector::try_from(selector.to_owned()).unwrap().sum(PAGE), expected, "{selector}");
        }
        assert!(Selector::metric("nothing").sum(PAGE).unwrap().is_nan());
    }

    #[test]
    fn selector_that_is_none_is_refused() {
        for wrong in ["", "two words", "{}", "events{", "events{a}", r#"events{a="b}"#, r#"events{a="b"} 3"#] {
            let error = Selector::try_from(wrong.to_owned()).unwrap_err();
            assert!(error.contains(&format!("not `{wrong}`")), "{error}");
        }
    }

    #[test]
    fn page_is_a_path_of_the_target_or_an_address() {
        let page = |page: &str| Page::parse(page, "127.0.0.1:80").map(|page| (page.authority, page.path));
        let is = |authority: &str, path: &str| Ok((authority.to_owned(), path.to_owned()));
        assert_eq!(page("/metrics"), is("127.0.0.1:80", "/metrics"));
        assert_eq!(page("http://other:9090/m?x=1"), is("other:9090", "/m?x=1"));
        assert_eq!(page("http://other:9090"), is("other:9090", "/"));
        for wrong in ["metrics", "https://other:9090/metrics", "/a b", "http://other/metrics"] {
            assert!(page(wrong).unwrap_err().contains("not `"), "{wrong}");
        }
    }
}
