//! Alerts told to other services over HTTP: which, in which format, and the thread for each that delivers.
//!
//! Whoever observes only puts a notice into a [`queue`]; connecting, waiting and trying again is done by a thread of the hook's own, so a
//! slow or absent receiver holds up neither scoring nor other hooks. Addresses of chats and keys of pagers are secrets: the setting names
//! variables of the environment that hold them, and neither they nor what a failed request says of its address is ever logged.

mod delivery;
mod generic;
mod pagerduty;
mod queue;
mod slack;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use crate::config::{self, Config};
use crate::kpi::snapshot::Alert;
use crate::metrics::alerts::{HookMetrics, Told};
use crate::{machine, outgoing};
pub use delivery::{Client, Outcome};
use queue::{Next, Queue};

/// Hooks that may be named.
const MOST: usize = 8;

/// How long a stop waits for what can be delivered at once: not so long that it costs the last checkpoint its time.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// The form that a receiver understands, and the word for it in the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Generic,
    Slack,
    PagerDuty,
}

const FORMATS: [(&str, Format); 3] =
    [("generic", Format::Generic), ("slack", Format::Slack), ("pagerduty", Format::PagerDuty)];

/// One entry of `alerts.webhooks`: a format, and the variable that holds the address, or PagerDuty's key.
#[derive(Debug, PartialEq, Eq)]
pub struct Declared<'a> {
    format: Format,
    word: &'static str,
    variable: &'a str,
}

/// Where notices go. It holds a secret, so nothing prints it.
pub struct Target {
    name: String,
    format: Format,
    address: String,
    /// PagerDuty's.
    key: String,
    /// Who is told about: the name of this instance.
    source: String,
}

/// Why a hook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("`alerts.webhooks`: {0}")]
    Setting(String),
    #[error("`alerts.webhooks`: `{variable}` is not set in the environment: it has to hold the {what} for `{word}`")]
    NotSet { word: &'static str, variable: String, what: &'static str },
    #[error("`{0}` must hold an address like `https://host/path`")]
    NoAddress(String),
    #[error("the thread of a webhook cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// A hook, and the thread that delivers what is pushed.
pub struct Hook {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    client: Client,
    metrics: HookMetrics,
    queue: Mutex<Queue>,
    /// Something was pushed, or it is to end.
    changed: Condvar,
    /// It has ended.
    ended: Condvar,
}

/// Reads the setting: `generic env:NAME; slack env:NAME; pagerduty env:NAME`.
pub fn parse(setting: &str) -> Result<Vec<Declared<'_>>, String> {
    let entries = setting.split(';').map(str::trim).filter(|entry| !entry.is_empty());
    let declared: Vec<_> = entries.map(parse_one).collect::<Result<_, _>>()?;
    if declared.len() > MOST {
        return Err(format!("at most {MOST} webhooks can be named, not {}", declared.len()));
    }
    Ok(declared)
}

// What stands there may be a secret that was put there by mistake: messages do not repeat it.
fn parse_one(entry: &str) -> Result<Declared<'_>, String> {
    let wanted = "an entry is `generic`, `slack` or `pagerduty` and the variable of the environment that holds its address or key, as in \
                  `slack env:CAUCE_SLACK_URL`; entries are parted by `;`";
    let (word, place) = entry.split_once(char::is_whitespace).ok_or(wanted)?;
    let &(word, format) = FORMATS.iter().find(|(known, _)| *known == word).ok_or(wanted)?;
    let variable = place.trim_start().strip_prefix("env:").ok_or(wanted)?;
    let is_name = !variable.is_empty() && variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some(Declared { format, word, variable }).ok_or_else(|| wanted.into())
}

/// The hooks of the setting with their secrets.
pub fn targets(config: &Config, environment: impl Fn(&str) -> Option<String>) -> Result<Vec<Target>, WebhookError> {
    let settings = &config.alerts;
    let mut targets = Vec::<Target>::new();
    for Declared { format, word, variable } in parse(&settings.webhooks).map_err(WebhookError::Setting)? {
        let what = if format == Format::PagerDuty { "routing key" } else { "address" };
        let secret = environment(variable).map(|secret| secret.trim().to_owned()).filter(|secret| !secret.is_empty());
        let secret = secret.ok_or(WebhookError::NotSet { word, variable: variable.into(), what })?;
        let (address, key) = match format {
            Format::PagerDuty => (settings.pagerduty_url.clone(), secret),
            Format::Generic | Format::Slack => (secret, String::new()),
        };
        if outgoing::address(&address).is_none() {
            return Err(WebhookError::NoAddress(variable.into()));
        }
        let same = targets.iter().filter(|target| target.format == format).count();
        let name = if same == 0 { word.to_owned() } else { format!("{word}-{}", same + 1) };
        targets.push(Target { name, format, address, key, source: source(config) });
    }
    Ok(targets)
}

/// Has all hooks end, together within [`STOP_GRACE`]; who is waiting for a receiver then is left behind. What was not delivered comes back.
pub fn stop(hooks: &[Hook]) -> Vec<Alert> {
    for hook in hooks {
        hook.shared.queue.lock().close();
        hook.shared.changed.notify_all();
    }
    let until = Instant::now() + STOP_GRACE;
    let mut undelivered = Vec::new();
    for hook in hooks {
        let mut queue = hook.shared.queue.lock();
        while !queue.has_ended() && !hook.shared.ended.wait_until(&mut queue, until).timed_out() {}
        if queue.waiting() > 0 {
            tracing::warn!(hook = hook.shared.target.name(), waiting = queue.waiting(), "notices were not delivered");
        }
        undelivered.extend(queue.undelivered().cloned());
    }
    undelivered
}

/// The configured name of this instance, or else the host's with the port, which tells apart those of one host.
fn source(config: &Config) -> String {
    if !config.alerts.source.is_empty() {
        return config.alerts.source.clone();
    }
    let host = machine::host_name();
    match config.server.listen.rsplit_once(':') {
        Some((_, port)) => format!("{host}:{port}"),
        None => host,
    }
}

impl Target {
    /// What logs and metrics call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a notice once, and waits for what becomes of it.
    pub fn post(&self, client: &Client, alert: &Alert) -> Outcome {
        client.post(&self.address, &self.document(alert))
    }

    fn document(&self, alert: &Alert) -> Value {
        match self.format {
            Format::Generic => generic::document(alert, &self.source),
            Format::Slack => slack::document(alert, &self.source),
            Format::PagerDuty => pagerduty::document(alert, &self.source, &self.key),
        }
    }
}

impl Hook {
    /// Starts its thread.
    pub fn start(target: Target, settings: &config::Alerts, metrics: HookMetrics) -> Result<Self, WebhookError> {
        let shared = Arc::new(Shared {
            client: Client::new(settings.timeout.get()),
            queue: Mutex::new(Queue::new(settings.into())),
            changed: Condvar::new(),
            ended: Condvar::new(),
            target,
            metrics,
        });
        let delivering = shared.clone();
        thread::Builder::new().name("cauce-webhook".into()).spawn(move || delivering.deliver())?;
        Ok(Self { shared })
    }

    /// Takes it that its receiver has heard of an alert, before the start.
    pub fn remember(&self, alert: &Alert) {
        self.shared.queue.lock().remember(alert.id.clone());
    }

    /// Takes a notice, to be delivered soon. It waits for nobody.
    pub fn push(&self, alert: &Alert) {
        let mut queue = self.shared.queue.lock();
        queue.push(alert.clone(), |told| self.shared.metrics.told(told));
        self.shared.metrics.waiting(queue.waiting());
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Delivers until told to end.
    fn deliver(&self) {
        let mut queue = self.queue.lock();
        loop {
            match queue.next(Instant::now()) {
                Next::End => break,
                Next::Nothing => self.changed.wait(&mut queue),
                Next::Later(instant) => drop(self.changed.wait_until(&mut queue, instant)),
                Next::Send { number, alert } => {
                    drop(queue);
                    let outcome = self.target.post(&self.client, &alert);
                    queue = self.queue.lock();
                    let told = queue.done(number, &outcome, Instant::now(), machine::random());
                    self.metrics.told(told);
                    self.metrics.waiting(queue.waiting());
                    self.log(told, &outcome, &alert);
                }
            }
        }
        queue.end();
        self.ended.notify_all();
    }

    fn log(&self, told: Told, outcome: &Outcome, alert: &Alert) {
        let (hook, id, cause) = (self.target.name(), &alert.id, outcome);
        match told {
            Told::Refused => tracing::error!(hook, %id, %cause, "the webhook refuses a notice: it is not sent again"),
            Told::Retried => tracing::warn!(hook, %id, %cause, "a notice is not delivered yet"),
            Told::Delivered | Told::Cancelled | Told::Dropped => tracing::debug!(hook, %id, "{}", told.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(webhooks: &str) -> Config {
        let mut config = Config::load(None, std::iter::empty(), Vec::new()).unwrap();
        config.alerts.webhooks = webhooks.into();
        config
    }

    #[test]
    fn instances_of_one_host_are_told_apart_unless_they_are_named() {
        let mut config = configured("");
        config.server.listen = "[::1]:8081".into();
        let first = source(&config);
        config.server.listen = "0.0.0.0:8082".into();
        let second = source(&config);
        assert_eq!(first.strip_suffix(":8081"), second.strip_suffix(":8082"));
        assert!(first.ends_with(":8081") && first.len() > 5, "{first}");
        config.alerts.source = "host-1".into();
        assert_eq!(source(&config), "host-1");
    }

    #[test]
    fn hooks_are_named_with_the_variables_of_their_secrets() {
        let config = configured("slack env:A; pagerduty env:B ;slack env:C;");
        let all = targets(&config, |name| Some(format!("https://{name}.test/x"))).ok().unwrap();
        let all: Vec<_> = all.iter().map(|one| (one.name(), one.address.as_str(), one.key.as_str())).collect();
        let pager = "https://events.pagerduty.com/v2/enqueue";
        let expected = [
            ("slack", "https://A.test/x", ""),
            ("pagerduty", pager, "https://B.test/x"),
            ("slack-2", "https://C.test/x", ""),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn wrong_setting_is_refused_without_a_word_of_what_may_be_a_secret() {
        for setting in [
            "slack",
            "slack https://x/SECRET",
            "SECRET env:A",
            "slack env:",
            "slack env:A/SECRET",
            "slack env:A generic",
        ] {
            let error = parse(setting).unwrap_err();
            assert!(error.contains("`slack env:CAUCE_SLACK_URL`") && !error.contains("SECRET"), "{setting}: {error}");
        }
        assert!(parse(&"slack env:A;".repeat(9)).unwrap_err().contains("at most 8"));
        for (value, said) in [
            (None, "`alerts.webhooks`: `A` is not set in the environment: it has to hold the address for `slack`"),
            (
                Some("  "),
                "`alerts.webhooks`: `A` is not set in the environment: it has to hold the address for `slack`",
            ),
            (Some("SECRET"), "`A` must hold an address like `https://host/path`"),
            (Some("ftp://SECRET/x"), "`A` must hold an address like `https://host/path`"),
        ] {
            let found = targets(&configured("slack env:A"), |_| value.map(str::to_owned));
            assert_eq!(found.err().map(|error| error.to_string()), Some(said.to_owned()));
        }
    }
}
