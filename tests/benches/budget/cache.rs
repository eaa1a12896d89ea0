//! What a score costs that was given before: the stage `cache` of answers that were found there, over the stage `model` of those that
//! were not, as the service itself takes their times. Applications of nobody in particular, four of five asked before.

use serde_json::json;

use crate::common::median;
use crate::support::Server;
use crate::support::client::Client;
use crate::support::history::JSON;

const REQUESTS: u64 = 20_000;
/// Of so many requests one is new.
const NEW_ONE_IN: u64 = 5;

/// The median of a hit over that of a run of the model, and the part of requests that hit.
pub(crate) fn measure(server: &Server) -> (f64, f64) {
    let mut client = Client::connect(server.authority()).expect("it listens");
    let (mut hits, mut runs) = (Vec::new(), Vec::new());
    for number in 0..REQUESTS {
        // The new ones count up; the others are one of those that were asked lately.
        let amount = match number % NEW_ONE_IN {
            0 => number,
            _ => (number / NEW_ONE_IN).saturating_sub(number % 97) * NEW_ONE_IN,
        };
        let application = json!({"monthly_income": 1200.5, "amount": 1_000 + amount, "credit_score": 640});
        let body = json!({"application": application}).to_string();
        let answer = client.post("/v1/score", JSON, &body).expect("it answers").json();
        let stage = |name: &str| answer["timing_us"][name].as_f64().expect("every stage has a time");
        match stage("model") {
            0.0 => hits.push(stage("cache")),
            model => runs.push(model),
        }
    }
    let part = hits.len() as f64 / REQUESTS as f64;
    let (hit, run) = (median(hits), median(runs));
    println!("cache: {:.0} % of requests hit, {hit:.2} µs a hit, {run:.2} µs a run of the model", part * 100.0);
    (hit / run, part)
}

/// A counter or gauge of the service.
pub(crate) fn metric(server: &Server, starts: &str) -> f64 {
    let page = server.get("/metrics").text();
    let lines = page.lines().filter(|line| line.starts_with(starts));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
