//! Alerts: what is wrong for long enough that somebody should know, told once when it begins and once when it is over.
//!
//! Once a second [`Alerts::observe`] looks at the snapshot of that second, and at nothing else: [`rules`] says what is read of it, [`engine`]
//! decides, and what begins or ends goes to the log, to `/v1/alerts`, to the snapshot and so to the dashboard, and to [`webhook`]s. The
//! field `alert` of a log line is written here alone. What is kept is bounded: past alerts by `alerts.history`, notices that wait for a
//! receiver by `alerts.queue` (S5). What fires is [`kept`] in a file: after a restart it fires on, and is told to be over when it is.

pub mod command;
pub mod engine;
mod growth;
mod kept;
pub mod prometheus;
pub mod rules;
pub mod webhook;

use std::time::Duration;

use parking_lot::Mutex;

use crate::config::Config;
use crate::kpi::Snapshot;
use crate::kpi::snapshot::{Alert, AlertState, Severity};
use crate::metrics::Metrics;
use crate::metrics::alerts::{AlertMetrics, HookMetrics};
use engine::Engine;
use growth::Growth;
use kept::{Kept, KeptFile};
use rules::Limit;
use webhook::{Hook, WebhookError};

/// The alerts of this process.
pub struct Alerts {
    limits: Vec<Limit>,
    /// What the log usually grows by at least, in bytes a second.
    growth_least: f64,
    watch: Mutex<Watch>,
    /// Held while a second is looked at, for writing may take its time; none once all is told that will be.
    file: Mutex<Option<KeptFile>>,
    hooks: Vec<Hook>,
    metrics: AlertMetrics,
}

/// What is remembered from one second to the next. The lock is held for the arithmetic of a few rules.
struct Watch {
    engine: Engine,
    growth: Growth,
}

/// The alerts that are firing, the newest first, and those that were.
pub struct Listed {
    pub active: Vec<Alert>,
    pub recent: Vec<Alert>,
}

impl Alerts {
    /// Starts what delivers to webhooks. Their secrets come from `environment` alone.
    pub fn open(
        config: &Config,
        environment: impl Fn(&str) -> Option<String>,
        metrics: &Metrics,
    ) -> Result<Self, WebhookError> {
        let settings = &config.alerts;
        if config.kpi.window.get().is_zero() {
            tracing::warn!("`kpi.window` is 0s: no KPIs are kept, and no alerts are raised");
        }
        let targets = webhook::targets(config, environment)?;
        let start = |target: webhook::Target| {
            let counted = HookMetrics::new(metrics, target.name());
            Hook::start(target, settings, counted)
        };
        let hooks = targets.into_iter().map(start).collect::<Result<Vec<_>, _>>()?;
        let mut watch = Watch { engine: Engine::new(settings.into()), growth: Growth::default() };
        let file = KeptFile::new(&settings.file);
        for Kept { alert, is_told } in file.load() {
            hooks.iter().for_each(|hook| hook.remember(&alert));
            if !is_told {
                hooks.iter().for_each(|hook| hook.push(&alert));
            }
            watch.engine.restore(alert);
        }
        let metrics = AlertMetrics::new(metrics);
        let growth_least = settings.log_growth_least.bytes() as f64;
        let (watch, file) = (Mutex::new(watch), Mutex::new(Some(file)));
        Ok(Self { limits: rules::limits(config), growth_least, watch, file, hooks, metrics })
    }

    /// Looks at the snapshot of this second, puts the active alerts into it, and tells what began or ended. Time is the snapshot's: its
    /// uptime for durations, which goes on where the clock stands still.
    pub fn observe(&self, snapshot: &mut Snapshot) {
        let file = self.file.lock();
        let Some(file) = &*file else { return };
        let elapsed = Duration::try_from_secs_f64(snapshot.uptime_seconds).unwrap_or_default();
        let (readings, notices) = {
            let mut watch = self.watch.lock();
            snapshot.resources.log_growth_ratio =
                watch.growth.observe(elapsed, snapshot.resources.log_bytes, self.growth_least);
            let readings = rules::readings(&self.limits, snapshot);
            let notices = watch.engine.step(elapsed, snapshot.timestamp, readings.clone());
            snapshot.alerts = watch.engine.active();
            (readings, notices)
        };
        self.metrics.show(&snapshot.alerts, &readings);
        for notice in &notices {
            log(notice);
            self.hooks.iter().for_each(|hook| hook.push(notice));
        }
        if !notices.is_empty() {
            file.save(&snapshot.alerts, &[]);
        }
    }

    /// What is firing and what was.
    pub fn listed(&self) -> Listed {
        let watch = self.watch.lock();
        Listed { active: watch.engine.active(), recent: watch.engine.past().cloned().collect() }
    }

    /// Has the webhooks end: what can be delivered at once still is, the rest is told by the next start.
    pub fn stop(&self) {
        let Some(file) = self.file.lock().take() else { return };
        let undelivered = webhook::stop(&self.hooks);
        file.save(&self.watch.lock().engine.active(), &undelivered);
    }
}

/// One line for each notice. Rules speak of rates, features and dependencies, never of people.
fn log(alert: &Alert) {
    let Alert { id, rule, summary, value, threshold, .. } = alert;
    match (alert.state, alert.severity) {
        (AlertState::Resolved, _) => tracing::info!(alert = rule, %id, value, threshold, "resolved: {summary}"),
        (AlertState::Firing, Severity::Critical) => tracing::error!(alert = rule, %id, value, threshold, "{summary}"),
        (AlertState::Firing, _) => tracing::warn!(alert = rule, %id, value, threshold, "{summary}"),
    }
}
