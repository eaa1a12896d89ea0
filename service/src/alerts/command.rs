//! `cauce alerts`: whether webhooks work, before they are needed; and the rules in the form of Prometheus.

use std::error::Error;
use std::process::ExitCode;

use cauce_features::time::Timestamp;
use clap::{Args, ValueEnum};

use super::prometheus;
use super::webhook::{self, Client};
use crate::clock::Clock;
use crate::config::Config;
use crate::kpi::snapshot::{Alert, AlertState, Severity};

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Alerts {
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Send every webhook an alert that fires and is resolved; ends with 1 if one of them does not take it.
    Test,
    /// Print the rules, with the thresholds that are configured, as a rule file of Prometheus.
    Rules,
}

impl Alerts {
    /// Tests or prints.
    pub(crate) fn run(self, config: &Config) -> Result<ExitCode, Box<dyn Error>> {
        match self.what {
            What::Rules => {
                print!("{}", prometheus::rules(config));
                Ok(ExitCode::SUCCESS)
            }
            What::Test => test(config),
        }
    }
}

fn test(config: &Config) -> Result<ExitCode, Box<dyn Error>> {
    let targets = webhook::targets(config, |variable| std::env::var(variable).ok())?;
    if targets.is_empty() {
        return Err("`alerts.webhooks` names none: it has to be like `slack env:CAUCE_SLACK_URL`".into());
    }
    let client = Client::new(config.alerts.timeout.get());
    let mut code = ExitCode::SUCCESS;
    for target in &targets {
        for (word, state) in [("firing", AlertState::Firing), ("resolved", AlertState::Resolved)] {
            let outcome = target.post(&client, &example(state, Clock::System.now()));
            if !outcome.is_delivered() {
                code = ExitCode::FAILURE;
            }
            println!("{} {word}: {outcome}", target.name());
        }
    }
    Ok(code)
}

fn example(state: AlertState, now: Timestamp) -> Alert {
    Alert {
        id: "test".into(),
        rule: "test",
        subject: None,
        severity: Severity::Info,
        state,
        summary: "a test: nothing is wrong".into(),
        advice: "nothing is to be done",
        value: 1.0,
        threshold: 0.0,
        since: now,
        resolved: (state == AlertState::Resolved).then_some(now),
    }
}
