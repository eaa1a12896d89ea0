//! The fault matrix: each fault is injected for real, and whatever it is, every answer comes in time, on a connection that is kept,
//! in the mode and with the reasons that are true; what failed is left alone and taken up again (S1).

/// Budgets, products, and the front-end's contract.
mod budgets;
/// A log whose disk stalls.
mod log;
/// Models that are slow or fail, and what the caches have then.
mod model;
/// Histories on a disk that stalls or fails.
mod state;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::client::Client;
use crate::support::history::JSON;

/// What an answer may take beyond its budget, apart from what the machine kept from the server.
const GRACE: Duration = Duration::from_millis(5);
/// And on its way to the client.
const WAY: Duration = Duration::from_millis(50);
/// How long a fault may take to show, and a breaker to close.
const PATIENCE: Duration = Duration::from_secs(30);

/// The budget of an application. Much of it is kept for the answer, since threads wake late on a machine on which many tests run.
const BUDGET: Duration = Duration::from_millis(50);
const RESERVE: &str = "budget.reserve=20ms";

/// What a client sees: one connection, which nobody may drop, and answers, which have to be in time.
struct Front<'s> {
    server: &'s Server,
    client: Client,
    /// Sent along, in the form of a header.
    headers: String,
    budget: Duration,
    /// Answers that came later than their budget, by no more than the grace and what the machine kept from the server.
    excused: u32,
    is_queued: bool,
}

impl<'s> Front<'s> {
    fn new(server: &'s Server) -> Self {
        let client = Client::connect(server.authority()).unwrap();
        Self { server, client, headers: String::new(), budget: BUDGET, excused: 0, is_queued: false }
    }

    /// With another budget.
    fn within(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self.with("x-latency-budget-ms", &budget.as_millis().to_string())
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    /// Its requests may wait until those of others are answered, which counts for nobody's budget.
    fn queued(mut self) -> Self {
        self.is_queued = true;
        self
    }

    /// Posts a document and takes the answer, which has to come in time.
    #[track_caller]
    fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let (body, headers) = (body.to_string(), &self.headers);
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        let (began, kept_before) = (Instant::now(), self.kept_from_running());
        let reply = self.client.ask(request.as_bytes()).expect("no connection is dropped");
        let (status, answer, took) = (reply.status, reply.json(), began.elapsed());
        let kept = self.kept_from_running().saturating_sub(kept_before);
        let way = if self.is_queued { PATIENCE } else { WAY };
        assert!(took <= self.budget + way + kept, "it took {took:?}, {kept:?} of it without a processor: {answer}");
        let total = answer["timing_us"]["total"].as_f64().map_or(took, |total| Duration::from_secs_f64(total / 1e6));
        let grace = if total == took { WAY } else { GRACE };
        assert!(total <= self.budget + grace + kept, "{kept:?} of it without a processor: {answer}");
        // What the server counts as late has taken longer than its budget here as well: held to above.
        self.excused += u32::from(took > self.budget);
        (status, answer)
    }

    /// How long threads of the server, and this one, have waited for a processor that somebody else had: nobody's answer can be in time
    /// then. On a quiet machine it is nothing.
    fn kept_from_running(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.server.process_id())).into_iter().flatten().flatten();
        let files = tasks.map(|task| task.path().join("schedstat")).chain(["/proc/thread-self/schedstat".into()]);
        let waited = |file: PathBuf| fs::read_to_string(file).ok()?.split(' ').nth(1)?.parse::<u64>().ok();
        Duration::from_nanos(files.filter_map(waited).sum()) + stolen()
    }

    /// Scores an application: there is an answer, whatever is broken. Once more, if there was no time for one of the rungs, as happens now
    /// and then on a busy machine.
    #[track_caller]
    fn score(&mut self, application: &Value) -> Value {
        for _ in 0..20 {
            let (status, answer) = self.post("/v1/score", application);
            assert_eq!(status, 200, "{answer}");
            assert_eq!(answer["mode"] == "full", is_none_but_of_the_log(&answer["degraded_reasons"]), "{answer}");
            if self.is_queued || !has_reason(&answer, "out_of_time") {
                return answer;
            }
        }
        panic!("there is never time for all rungs");
    }

    /// Does it again, a moment later each time, until the answer is as it should be.
    #[track_caller]
    fn until(&mut self, what: &str, mut ask: impl FnMut(&mut Self) -> Option<Value>) -> Value {
        let begin = Instant::now();
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// How long the machine's processors were somebody else's, where it is a virtual one.
fn stolen() -> Duration {
    let times = fs::read_to_string("/proc/stat").unwrap_or_default();
    let stolen = times.lines().next().and_then(|all| all.split_whitespace().nth(8)?.parse::<u64>().ok());
    // Counted in hundredths of a second.
    Duration::from_millis(stolen.unwrap_or_default() * 10)
}

/// Reasons of the log say nothing of the score.
fn is_none_but_of_the_log(reasons: &Value) -> bool {
    reasons.as_array().unwrap().iter().all(|reason| reason == "log_slow" || reason == "log_breaker_open")
}

#[track_caller]
fn expect_mode(answer: &Value, mode: &str, reasons: &[&str]) {
    assert_eq!((&answer["mode"], &answer["degraded_reasons"]), (&json!(mode), &json!(reasons)), "{answer}");
}

fn has_reason(answer: &Value, reason: &str) -> bool {
    answer["degraded_reasons"].as_array().unwrap().iter().any(|given| given == reason)
}

/// The value of one series on the metrics page.
#[track_caller]
fn metric(server: &Server, series: &str) -> f64 {
    let page = server.get("/metrics").text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("`{series}` is not on the page")).parse().unwrap()
}

/// How often a breaker has opened.
fn opened(server: &Server, dependency: &str) -> f64 {
    metric(server, &format!("cauce_breaker_opened_total{{dependency=\"{dependency}\"}}"))
}

/// How a breaker stands, as the instance that is ready all the same says.
fn breaker(server: &Server, dependency: &str) -> Value {
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
    ready.json()["breakers"][dependency].clone()
}

/// The server itself knows of no answers that were late but for those that were excused, each on its own.
#[track_caller]
fn expect_none_late(fronts: &[&Front<'_>]) {
    expect_late(fronts[0].server, fronts.iter().map(|front| front.excused).sum());
}

#[track_caller]
fn expect_late(server: &Server, excused: u32) {
    let page = server.get("/metrics").text();
    let series = page.lines().filter(|line| line.starts_with("cauce_over_budget_total{"));
    let late: u32 = series.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum();
    assert!(late <= excused, "{late} answers were late, {excused} are excused");
}

/// An application of nobody in particular, unlike any other by its amount.
fn anonymous(amount: u64) -> Value {
    json!({"application": {"monthly_income": 1200.5, "amount": amount}})
}

/// One of a person, always the same but for its id.
fn of_person(person: &str, id: &str, amount: u64) -> Value {
    let mut application = anonymous(amount);
    application["person_id"] = json!(person);
    application["application_id"] = json!(id);
    application
}

/// The arguments of a server with these settings.
fn arguments(settings: &[&str]) -> Vec<String> {
    let all = [RESERVE, "server.workers=2", "breaker.open=300ms", "breaker.open_most=1s"];
    let settings = all.iter().chain(settings);
    settings.flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect()
}
