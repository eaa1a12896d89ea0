//! `GET /`: the dashboard, a page that needs no network but this service. Its files are part of the binary, compressed when it was built.
//!
//! Browsers keep the files and ask each time whether they are still the same (304): after another version was started, a page never
//! runs with scripts of two of them. The page is vital, as it is looked at when much is wrong, and costs less than a refusal would.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::answer::Answer;
use super::call::Call;
use super::routes::Endpoint;
use crate::error::{ApiError, Code};

/// One file, in both forms.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    etag: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// What the page may do: load and ask here, and be framed nowhere. It has a form that scores.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// The page.
pub async fn page(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Dashboard).answer(|_| {
        let mut answer = answer("index.html", request.headers())?;
        answer.headers.push((header::CONTENT_SECURITY_POLICY, POLICY));
        answer.headers.push((header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")));
        Ok(answer)
    })
}

/// What it is made of.
pub async fn file(request: HttpRequest) -> HttpResponse {
    let name = request.match_info().query("file");
    Call::begin(&request, Endpoint::DashboardFile).answer(|_| answer(name, request.headers()))
}

fn answer(name: &str, headers: &HeaderMap) -> Result<Answer, ApiError> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| ApiError::new(Code::NotFound, "the dashboard at `/` has no such file"))?;
    let is_known = lists(headers, &header::IF_NONE_MATCH, |etag| etag == asset.etag || etag == "*");
    let is_packed = !is_known && lists(headers, &header::ACCEPT_ENCODING, takes_gzip);
    let (status, body): (_, &[u8]) = match (is_known, is_packed) {
        (true, _) => (304, b""),
        (false, true) => (200, asset.gzip),
        (false, false) => (200, asset.plain),
    };
    let mut answer = Answer::new(status, asset.content_type, Bytes::from_static(body));
    answer.headers = vec![
        (header::ETAG, HeaderValue::from_static(asset.etag)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if is_packed {
        answer.headers.push((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
    }
    Ok(answer)
}

/// Whether one of the items of a header's list is like that.
fn lists(headers: &HeaderMap, name: &HeaderName, is_like: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| is_like(item.trim()))
}

/// `gzip`, unless it has the weight zero.
fn takes_gzip(coding: &str) -> bool {
    let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
    let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f64>);
    name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: HeaderName, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn file_is_packed_for_who_takes_it_so() {
        for (accepts, is_packed) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("br", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0, br", false),
            ("gzip;q=x", false),
            ("identity", false),
        ] {
            let answer = answer("index.html", &given(header::ACCEPT_ENCODING, accepts)).unwrap();
            let names = answer.headers.iter().map(|(name, _)| name);
            assert_eq!(names.filter(|name| *name == header::CONTENT_ENCODING).count() == 1, is_packed, "{accepts}");
            assert_eq!(answer.body.starts_with(&[0x1f, 0x8b]), is_packed, "{accepts}");
        }
    }

    #[test]
    fn file_that_a_browser_has_is_not_sent_again() {
        for asset in &ASSETS {
            let held = answer(asset.name, &given(header::IF_NONE_MATCH, asset.etag)).unwrap();
            assert_eq!((held.status, held.body.len()), (304, 0), "{}", asset.name);
            let other = answer(asset.name, &given(header::IF_NONE_MATCH, r#"W/"0""#)).unwrap();
            assert_eq!((other.status, &other.body[..]), (200, asset.plain), "{}", asset.name);
        }
    }

    #[test]
    fn other_names_lead_nowhere() {
        for name in ["", "other.js", "../dashboard.rs", "index.html.gz"] {
            assert_eq!(answer(name, &HeaderMap::new()).err().map(|error| error.code), Some(Code::NotFound), "{name}");
        }
    }
}
