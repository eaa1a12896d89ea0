//! Measures what a scenario says: one run, or the many of a search.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cauce_features::time::Timestamp;
use signal_hook::consts::SIGINT;

use crate::drive::{Drive, Progress};
use crate::outcome::Outcome;
use crate::progress::Bar;
use crate::scenario::{Load, Scenario};
use crate::schedule::Schedule;
use crate::search::{Breach, Goal, Search, Steps};
use crate::traffic::answers::Answers;
use crate::traffic::mixed::{Files, Mixed};
use crate::watch::Series;

/// What measures one scenario.
pub(super) struct Session<'a> {
    scenario: &'a Scenario,
    files: &'a Files,
    answers: Option<Arc<Answers>>,
    address: SocketAddr,
    is_quiet: bool,
    /// Set by Ctrl-C, or where a ramp has gone far enough: what was measured so far is told.
    stop: Arc<AtomicBool>,
}

/// What came of it.
pub(super) struct Measured {
    /// Of a search by steps, that of the highest rate that held; of the last one if none did.
    pub(super) outcome: Outcome,
    pub(super) search: Option<Search>,
    pub(super) watched: Vec<Series>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        files: &'a Files,
        answers: Option<Arc<Answers>>,
        is_quiet: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let stop = Arc::new(AtomicBool::new(false));
        // The second Ctrl-C ends the process: what the first one waits for may not come.
        signal_hook::flag::register_conditional_default(SIGINT, stop.clone())?;
        signal_hook::flag::register(SIGINT, stop.clone())?;
        Ok(Self { scenario, files, answers, address: address(scenario)?, is_quiet, stop })
    }

    pub(super) fn measure(&self) -> Result<Measured, Box<dyn Error>> {
        let authority = &self.scenario.target.authority;
        let watching = self.scenario.watch.clone().map(|watch| watch.begin(authority)).transpose()?;
        let measured = match &self.scenario.load {
            Load::Steps { steps, hold, warm_up } => self.steps(steps, *hold, *warm_up),
            _ => self.one(),
        };
        let (outcome, search) =
            measured.map_err(|error| format!("cannot drive `{}`: {error}", self.scenario.target))?;
        let watched = watching.map(|watching| watching.end(&outcome)).unwrap_or_default();
        Ok(Measured { outcome, search, watched })
    }

    fn one(&self) -> io::Result<(Outcome, Option<Search>)> {
        let schedule = self.scenario.schedule(self.files.requests(self.scenario));
        if !matches!(self.scenario.load, Load::Ramp { .. }) {
            return Ok((self.drive(&schedule, None)?, None));
        }
        let goal = self.goal();
        let outcome = self.drive(&schedule, Some(&Breach::of(goal)))?;
        let search = Search::along_ramp(&outcome, &goal);
        Ok((outcome, Some(search)))
    }

    fn steps(&self, steps: &Steps, hold: Duration, warm_up: Duration) -> io::Result<(Outcome, Option<Search>)> {
        let mut outcomes: Vec<(f64, Outcome)> = Vec::new();
        // Each try asks for other things, which the service cannot have kept from the one before.
        let mut seed = self.scenario.seed;
        let search = Search::by_steps(steps, &self.goal(), |rate| {
            let step = Load::Steady { rate, duration: hold, warm_up };
            let outcome = self.drive(&step.schedule(self.scenario.arrivals, seed), None)?;
            seed = seed.wrapping_add(1);
            if self.stop.load(Ordering::Relaxed) {
                eprintln!("stopped before the search was over");
                return Err(io::ErrorKind::Interrupted.into());
            }
            outcomes.push((rate, outcome.clone()));
            Ok(outcome)
        })?;
        if outcomes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "no step was over"));
        }
        // Of several tries of a rate it is the last that held.
        let held = outcomes.iter().rposition(|(rate, _)| Some(*rate) == search.highest);
        let told = held.unwrap_or(outcomes.len() - 1);
        let (_, outcome) = outcomes.swap_remove(told);
        Ok((outcome, Some(search)))
    }

    /// Offers one load; one that is over its goal for good ends before its time.
    fn drive(&self, schedule: &Schedule, breach: Option<&Breach>) -> io::Result<Outcome> {
        let scenario = self.scenario;
        let traffic = Mixed::new(scenario, self.files, schedule, now());
        let traffic = match &self.answers {
            Some(answers) => traffic.with_answers(answers.clone()),
            None => traffic,
        };
        let bar = Bar::new(self.is_quiet);
        let show = |progress: Progress| {
            bar.show(&progress);
            if breach.is_some_and(|breach| breach.is_lasting(&progress)) {
                self.stop.store(true, Ordering::Relaxed);
            }
        };
        let drive = Drive {
            connections: scenario.connections,
            threads: scenario.threads,
            waiting: scenario.waiting,
            patience: scenario.patience,
            progress: Some(&show),
            stop: Some(&self.stop),
            ..Drive::to(self.address, &traffic, schedule)
        };
        let outcome = drive.run();
        bar.end();
        outcome
    }

    fn goal(&self) -> Goal {
        let limits = &self.scenario.limits;
        Goal { p99: limits.p99, error_rate: limits.error_rate.unwrap_or(0.0) }
    }
}

fn address(scenario: &Scenario) -> Result<SocketAddr, String> {
    let target = &scenario.target;
    let found = target.authority.to_socket_addrs().map_err(|error| format!("cannot find `{target}`: {error}"))?;
    let found: Vec<_> = found.collect();
    // A name may have addresses at which nobody listens: `localhost` is `::1` first. Where none answers, the first one tells why.
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, scenario.patience).is_ok();
    let answering = if found.len() > 1 { found.iter().find(answers) } else { None };
    answering.or(found.first()).copied().ok_or_else(|| format!("cannot find `{target}`: its name has no address"))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis() as i64)
}
