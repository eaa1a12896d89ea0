//! `cauce-loadtest run`: a scenario, what the command line says otherwise, and what came of it.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::measure::{Measured, Session};
use super::{Ended, share};
use crate::duration;
use crate::limits::Limits;
use crate::report::{self, Conclusion, Report};
use crate::scenario::{Load, Scenario, Target};
use crate::traffic::answers::Answers;
use crate::traffic::mixed::Files;

/// Offer the load of a scenario, and tell what came of it.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// A scenario's file (TOML), or the name of one that comes with the command.
    scenario: String,
    /// Where the load goes, as `http://127.0.0.1:8080`; over the file's `target`.
    #[arg(long, value_name = "URL", value_parser = Target::parse)]
    target: Option<Target>,
    /// Requests a second.
    #[arg(long)]
    rate: Option<f64>,
    /// How long load is offered, as `30s`; of steps, each.
    #[arg(long, value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Connections that are kept open.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: Option<u32>,
    /// Threads that send; each has its share of the connections.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// Makes other people, requests and times than another seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Write the figures there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with charts there, which needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write every answer there as a line of JSON, to compare what systems say of the same records.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Show nothing while it runs.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What the run is held to; over the file's `[limits]`.
#[derive(Debug, Args)]
struct LimitArgs {
    /// Longest latency of half of the good answers, from when their requests were due.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    max_p50: Option<Duration>,
    /// Longest latency of 99 in 100, as `5ms`.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    max_p99: Option<Duration>,
    /// Longest latency of 999 in 1000.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    max_p999: Option<Duration>,
    /// Largest part of the requests without a good answer, from 0 to 1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_error_rate: Option<f64>,
    /// Fewest good answers a second.
    #[arg(long, value_name = "RATE")]
    min_rate: Option<f64>,
}

/// Files that results go to, opened before the run so that it is not in vain.
struct Outputs {
    json: Option<Output>,
    html: Option<Output>,
    answers: Option<Output>,
}

struct Output {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Run {
    pub(super) fn run(&self) -> Result<Ended, Box<dyn Error>> {
        let scenario = self.scenario()?;
        let files = Files::load(&scenario)?;
        let mut outputs = Outputs::open(self)?;
        let answers = self.answers.is_some().then(Arc::<Answers>::default);
        let started_at = SystemTime::now();
        let session = Session::new(&scenario, &files, answers.clone(), self.quiet)?;
        let Measured { outcome, search, watched } = session.measure()?;
        let judged = match &search {
            Some(search) if matches!(scenario.load, Load::Ramp { .. }) => scenario.limits.judge_ramp(search),
            _ => scenario.limits.judge(&outcome),
        };
        let report = Report {
            name: &scenario.name,
            scenario: &scenario.text,
            target: &scenario.target.to_string(),
            command: &command(),
            started_at,
            outcome: &outcome,
            limits: &judged,
            search: search.as_ref(),
            watched: &watched,
        };
        print!("{}", report::table(&report));
        outputs.write(&report, answers.as_deref())?;
        Ok(ended(&report))
    }

    /// The scenario with what the command line says otherwise.
    fn scenario(&self) -> Result<Scenario, Box<dyn Error>> {
        let mut scenario = read(&self.scenario)?;
        if let Some(target) = &self.target {
            scenario.target = target.clone();
        }
        if let Some(rate) = self.rate {
            scenario.load.set_rate(rate)?;
        }
        if let Some(duration) = self.duration {
            scenario.load.set_duration(duration)?;
        }
        if let Some(seed) = self.seed {
            scenario.people.seed = if scenario.people.seed == scenario.seed { seed } else { scenario.people.seed };
            scenario.seed = seed;
        }
        scenario.connections = self.connections.map_or(scenario.connections, |connections| connections as usize);
        scenario.threads = self.threads.map_or(scenario.threads, |threads| threads as usize);
        if scenario.threads > scenario.connections {
            return Err("each of the `--threads` needs one of the `--connections`".into());
        }
        scenario.limits = self.limits.limits().or(std::mem::take(&mut scenario.limits));
        if matches!(scenario.load, Load::Ramp { .. }) && scenario.limits.go_beyond_a_ramp() {
            return Err("a ramp is judged by `p99` and `error_rate`; shape `steps` takes the other limits, too".into());
        }
        Ok(scenario)
    }
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            p50: self.max_p50,
            p99: self.max_p99,
            p999: self.max_p999,
            error_rate: self.max_error_rate,
            rate: self.min_rate,
        }
    }
}

impl Outputs {
    fn open(run: &Run) -> Result<Self, String> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Output::create).transpose();
        Ok(Self { json: open(&run.json)?, html: open(&run.html)?, answers: open(&run.answers)? })
    }

    fn write(&mut self, report: &Report<'_>, answers: Option<&Answers>) -> Result<(), String> {
        if let Some(json) = &mut self.json {
            json.write(|file| writeln!(file, "{:#}", report::json(report)))?;
        }
        if let Some(html) = &mut self.html {
            html.write(|file| file.write_all(report::html(report).as_bytes()))?;
        }
        match (&mut self.answers, answers) {
            (Some(output), Some(answers)) => output.write(|file| answers.write(file)),
            _ => Ok(()),
        }
    }
}

impl Output {
    fn create(path: &Path) -> Result<Self, String> {
        // What an earlier run wrote stays there until this one has something to say.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn write(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<(), String> {
        let written = self.clear().and_then(|()| write(&mut self.file)).and_then(|()| self.file.flush());
        written.map_err(|error| format!("cannot write `{}`: {error}", self.path.display()))
    }

    /// A pipe or a terminal has no length.
    fn clear(&self) -> std::io::Result<()> {
        let file = self.file.get_ref();
        if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
    }
}

/// The command line, also one that is no UTF-8.
fn command() -> String {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn ended(report: &Report<'_>) -> Ended {
    match report.conclusion() {
        Conclusion::Holds => Ended::Well,
        Conclusion::Missed => Ended::Missed,
        Conclusion::NotDriven(why) => {
            eprintln!("not driven: {why}");
            Ended::NotDriven
        }
    }
}

/// A file's scenario, or that of a name.
fn read(scenario: &str) -> Result<Scenario, Box<dyn Error>> {
    let path = Path::new(scenario);
    let is_name = path.extension().is_none() && path.components().count() == 1 && !path.exists();
    if is_name {
        return Ok(Scenario::parse(scenario, super::built_in(scenario)?, "")?);
    }
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read `{scenario}`: {error}"))?;
    Ok(Scenario::parse(scenario, &text, path.parent().unwrap_or(Path::new("")))?)
}
