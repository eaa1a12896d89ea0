//! Alerts of the real process, at real receivers: a model that fails has its breaker open, an alert fires, and what it is about is mended.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::metric;
use crate::support::bundle::{self, FAILING_AMOUNT};
use crate::support::history::JSON;
use crate::support::receiver::{Receiver, Reply};
use crate::support::{Directory, Server, cauce, command, serve};

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The alert of these tests.
const ID: &str = "breaker_open/model";

/// A service whose model fails when it is told to, and whose webhooks are these: a word of the setting and a secret each.
struct Watched {
    server: Server,
    /// What started it, and starts it again.
    command: Command,
    _bundle: Directory,
    data: Directory,
    amounts: std::ops::RangeFrom<u64>,
}

impl Watched {
    fn start(name: &str, hooks: &[(&str, String)], settings: &[&str]) -> Self {
        let bundle = bundle::failing(&format!("alerts-{name}"));
        let data = Directory::new(&format!("alerts-{name}-data"));
        // Alerts of this test alone, and at once.
        let common = [
            "server.workers=2",
            "breaker.open=300ms",
            "breaker.open_most=300ms",
            "alerts.for=0s",
            "alerts.clear_for=0s",
            "alerts.degraded_percent=101",
            "kpi.error_percent=100",
            "kpi.memory_percent=100",
            "kpi.latency_p95=1h",
            "alerts.source=host-1",
            "alerts.retry=100ms",
            "alerts.retry_most=300ms",
        ];
        let declared = (0..).zip(hooks).map(|(number, (word, _))| format!("{word} env:HOOK_{number}"));
        let webhooks = format!("alerts.webhooks={}", declared.collect::<Vec<_>>().join("; "));
        let all = common.iter().chain(settings).copied().chain([webhooks.as_str()]);
        let arguments = all.flat_map(|setting| ["--set", setting]);
        let mut command = serve(data.root(), arguments);
        command.arg("--bundle").arg(bundle.root());
        for (number, (_, secret)) in (0..).zip(hooks) {
            command.env(format!("HOOK_{number}"), secret);
        }
        let server = Server::launch(&mut command);
        Self { server, command, _bundle: bundle, data, amounts: 10_000.. }
    }

    /// The same on the same data, after a stop.
    fn restarted(self) -> Self {
        let Self { server, mut command, .. } = self;
        assert_eq!(server.stop(), Some(0));
        let server = Server::launch(&mut command);
        Self { server, command, _bundle: self._bundle, data: self.data, amounts: self.amounts }
    }

    fn score(&self, amount: u64) -> Value {
        let application = json!({"application": {"monthly_income": 1200.5, "amount": amount}});
        let answer = self.server.post("/v1/score", JSON, application.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Has the model fail until the alert fires.
    #[track_caller]
    fn break_it(&self) -> Value {
        self.until("the alert fires", || {
            (0..5).for_each(|_| drop(self.score(FAILING_AMOUNT)));
            self.active().into_iter().find(|alert| alert["id"] == ID)
        })
    }

    /// Asks for what the model can do until the alert is over.
    #[track_caller]
    fn mend_it(&mut self) {
        let begin = Instant::now();
        while !self.active().is_empty() {
            let amount = self.amounts.next().unwrap();
            self.score(amount);
            assert!(begin.elapsed() < PATIENCE, "the alert is not resolved\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn active(&self) -> Vec<Value> {
        self.server.get("/v1/alerts").json()["active"].as_array().unwrap().clone()
    }

    /// How many notices or attempts of a hook ended like this.
    fn notices(&self, hook: &str, outcome: &str) -> f64 {
        metric(&self.server, &format!("cauce_alert_notices_total{{hook=\"{hook}\",outcome=\"{outcome}\"}}"))
    }

    #[track_caller]
    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a receiver has so many notices.
    #[track_caller]
    fn wait_for(&self, receiver: &Receiver, path: &str, notices: usize) -> Vec<Value> {
        self.until(&format!("{notices} notices at {path}"), || {
            let received = receiver.received(path);
            (received.len() >= notices).then(|| received.into_iter().map(|one| one.json()).collect())
        })
    }
}

#[test]
fn alert_fires_and_resolves_and_is_told_in_every_way() {
    let receiver = Receiver::start(&[]);
    let hooks = [
        ("generic", receiver.url("/generic/TOKEN")),
        ("slack", receiver.url("/slack/TOKEN")),
        ("pagerduty", "KEY".to_owned()),
    ];
    let pager = format!("alerts.pagerduty_url={}", receiver.url("/pager"));
    let mut watched = Watched::start("told", &hooks, &[&pager]);
    assert_eq!(watched.active(), Vec::<Value>::new());
    let alert = watched.break_it();
    assert_eq!((&alert["rule"], &alert["severity"]), (&json!("breaker_open"), &json!("critical")));
    assert_eq!((&alert["state"], &alert["resolved"]), (&json!("firing"), &Value::Null));
    let firing = metric(&watched.server, "cauce_alerts_firing{rule=\"breaker_open\"}");
    assert_eq!(firing, 1.0);
    watched.mend_it();
    let listed = watched.server.get("/v1/alerts").json();
    assert_eq!((&listed["recent"][0]["id"], &listed["recent"][0]["since"]), (&json!(ID), &alert["since"]));
    assert!(listed["recent"][0]["resolved"].is_string(), "{listed}");

    let told = watched.wait_for(&receiver, "/generic/TOKEN", 2);
    let states: Vec<_> = told.iter().map(|one| (&one["id"], &one["state"], &one["source"])).collect();
    let (id, source) = (json!(ID), json!("host-1"));
    assert_eq!(states, [(&id, &json!("firing"), &source), (&id, &json!("resolved"), &source)]);
    let told = watched.wait_for(&receiver, "/slack/TOKEN", 2);
    assert_eq!(told[0]["text"], "Critical (host-1): model fails or is slow, and is left alone");
    assert_eq!(
        (&told[0]["attachments"][0]["color"], &told[1]["attachments"][0]["color"]),
        (&json!("danger"), &json!("good"))
    );
    let told = watched.wait_for(&receiver, "/pager", 2);
    for (event, action) in told.iter().zip(["trigger", "resolve"]) {
        let key = json!(format!("cauce/host-1/{ID}"));
        assert_eq!((&event["routing_key"], &event["event_action"]), (&json!("KEY"), &json!(action)));
        assert_eq!(event["dedup_key"], key);
    }
    let payload = &told[0]["payload"];
    assert_eq!(
        (&payload["severity"], &payload["source"], &payload["class"]),
        (&json!("critical"), &source, &json!("breaker_open"))
    );
    assert!(payload["timestamp"].is_string() && payload["summary"].is_string(), "{payload}");

    watched.until("all is counted", || (watched.notices("pagerduty", "delivered") == 2.0).then_some(()));
    let log = watched.server.log();
    assert_eq!(log.matches("alert=\"breaker_open\"").count(), 2, "{log}");
    assert!(!log.contains("TOKEN") && !log.contains("KEY"), "{log}");
    assert_eq!(watched.server.stop(), Some(0));
}

#[test]
fn receiver_that_was_down_hears_how_things_are_once_it_is_back() {
    let receiver = Receiver::start_away();
    let mut watched = Watched::start("down", &[("generic", receiver.url("/"))], &[]);
    watched.break_it();
    watched.until("it is tried again", || (watched.notices("generic", "retried") >= 2.0).then_some(()));
    assert_eq!(metric(&watched.server, "cauce_alert_notices_waiting{hook=\"generic\"}"), 1.0);
    receiver.come_back();
    let told = watched.wait_for(&receiver, "/", 1);
    assert_eq!(told[0]["state"], "firing");
    watched.mend_it();
    let told = watched.wait_for(&receiver, "/", 2);
    assert_eq!((told.len(), &told[1]["state"]), (2, &json!("resolved")));
}

#[test]
fn alert_that_a_restart_mends_is_told_to_be_over() {
    let receiver = Receiver::start(&[]);
    let watched = Watched::start("restart", &[("generic", receiver.url("/"))], &[]);
    let alert = watched.break_it();
    watched.until("it is told", || (watched.notices("generic", "delivered") == 1.0).then_some(()));
    // The breaker is closed again, and nobody asks for what the model cannot do.
    let watched = watched.restarted();
    let told = watched.wait_for(&receiver, "/", 2);
    let states: Vec<_> = told.iter().map(|one| (&one["id"], &one["state"], &one["since"])).collect();
    let (id, since) = (json!(ID), &alert["since"]);
    assert_eq!(states, [(&id, &json!("firing"), since), (&id, &json!("resolved"), since)]);
    watched.until("it is over", || watched.active().is_empty().then_some(()));
    assert!(!watched.data.path("alerts.json").exists());
}

#[test]
fn what_a_stop_leaves_untold_is_told_by_the_next_start() {
    let receiver = Receiver::start_away();
    let patient = ["alerts.clear_for=10s"];
    let watched = Watched::start("untold", &[("generic", receiver.url("/"))], &patient);
    watched.break_it();
    let watched = watched.restarted();
    receiver.come_back();
    let told = watched.wait_for(&receiver, "/", 2);
    let states: Vec<_> = told.iter().map(|one| (&one["id"], &one["state"])).collect();
    assert_eq!(states, [(&json!(ID), &json!("firing")), (&json!(ID), &json!("resolved"))]);
}

#[test]
fn slow_receiver_holds_up_neither_others_nor_scores_nor_the_end() {
    // It never answers while the test lasts, and may be tried again once `alerts.timeout` has passed.
    let slow = Receiver::start(&[Reply { delay: Duration::from_secs(3600), ..Reply::status(200) }; 20]);
    let quick = Receiver::start(&[]);
    let hooks = [("generic", slow.url("/")), ("slack", quick.url("/"))];
    let mut watched = Watched::start("slow", &hooks, &["alerts.timeout=1m"]);
    watched.break_it();
    watched.wait_for(&slow, "/", 1);
    watched.mend_it();
    watched.wait_for(&quick, "/", 2);
    for amount in 0..50 {
        assert!(watched.score(90_000 + amount)["probability_of_default"].is_f64());
    }
    assert_eq!(watched.notices("generic", "delivered"), 0.0);
    let begin = Instant::now();
    assert_eq!(watched.server.stop(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(15), "a slow receiver held up the end: {:?}", begin.elapsed());
}

#[test]
fn answer_says_whether_and_when_a_notice_is_sent_again() {
    let busy = Receiver::start(&[Reply { retry_after: Some(2), ..Reply::status(429) }]);
    let failing = Receiver::start(&[Reply::status(500), Reply::status(503)]);
    let refusing = Receiver::start(&[Reply::status(400)]);
    let hooks = [&busy, &failing, &refusing].map(|receiver| ("generic", receiver.url("/")));
    let mut watched = Watched::start("answers", &hooks, &[]);
    watched.break_it();
    watched.wait_for(&busy, "/", 2);
    let times: Vec<_> = busy.received("/").iter().map(|one| one.at).collect();
    assert!(times[1] - times[0] >= Duration::from_secs(2), "{:?}", times[1] - times[0]);
    watched.wait_for(&failing, "/", 3);
    watched.mend_it();
    for (receiver, notices) in [(&busy, 3), (&failing, 4), (&refusing, 2)] {
        let told = watched.wait_for(receiver, "/", notices);
        assert_eq!((told.len(), &told[notices - 1]["state"]), (notices, &json!("resolved")));
    }
    for (hook, outcome, count) in [
        ("generic", "retried", 1.0),
        ("generic", "delivered", 2.0),
        ("generic-2", "retried", 2.0),
        ("generic-2", "delivered", 2.0),
        ("generic-3", "refused", 1.0),
        ("generic-3", "retried", 0.0),
    ] {
        watched.until(&format!("{hook} {outcome} {count}"), || (watched.notices(hook, outcome) == count).then_some(()));
    }
}

#[test]
fn secret_that_is_not_there_is_said_before_anything_is_served() {
    let data = Directory::new("alerts-secret");
    let mut command = serve(data.root(), ["--set", "alerts.webhooks=slack env:NO_SUCH_VARIABLE"]);
    let ended = Server::try_launch(&mut command).err().unwrap();
    let said =
        "`alerts.webhooks`: `NO_SUCH_VARIABLE` is not set in the environment: it has to hold the address for `slack`";
    assert!(ended.stderr().contains(said), "{}", ended.stderr());
}

#[test]
fn webhooks_can_be_tested_before_they_are_needed() {
    let receiver = Receiver::start(&[Reply::status(200), Reply::status(404)]);
    let test = |webhooks: &str| {
        let setting = format!("alerts.webhooks={webhooks}");
        let arguments = ["alerts", "test", "--set", &setting];
        let output = command().args(arguments).env("HOOK", receiver.url("/TOKEN")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let said = "slack firing: delivered\nslack resolved: refused with status 404\n";
    assert_eq!(test("slack env:HOOK"), (Some(1), said.to_owned()));
    assert_eq!(test("slack env:HOOK").0, Some(0));
    assert_eq!(receiver.received("/TOKEN").len(), 4);
    let none = cauce(["alerts", "test"]);
    assert!(none.code() == Some(1) && none.stderr().contains("names none"), "{}", none.stderr());
}
