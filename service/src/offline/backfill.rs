//! `cauce backfill`: the training table, point in time, out of a history in files.
//!
//! What an application may see is decided in [`super::point_in_time`]; what the table looks like in [`super::table`]. A line
//! that is not a valid record is never left out silently: without `--skip-invalid` nothing is written.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cauce_features::plan::FeaturePlan;
use cauce_features::time::Span;
use clap::Args;

use super::history::Counts;
use super::point_in_time::Replayed;
use super::{history, plan_of, point_in_time, table};

/// Make the training table: what the service would have computed for every application at its `as_of`.
#[derive(Debug, Args)]
pub(crate) struct Backfill {
    #[command(flatten)]
    specification: SpecificationSource,
    /// Events (NDJSON), in any order; `arrived_at` says when one became known, otherwise it is when it happened.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    events: Vec<PathBuf>,
    /// Applications (NDJSON), each with its `as_of` and, where known, its `label` (0 or 1).
    #[arg(long, value_name = "FILE")]
    applications: PathBuf,
    /// The Parquet file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Let an application see only events of at least this age, such as `30d`: what stale history costs.
    #[arg(long, value_name = "SPAN", value_parser = Span::parse)]
    withhold: Option<Span>,
    /// Leave out lines that are not valid records, and say how many.
    #[arg(long)]
    skip_invalid: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SpecificationSource {
    /// The bundle whose features to compute.
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// A specification that is not in a bundle yet.
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
}

impl Backfill {
    /// Reads, replays, writes.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let plan = self.specification.load()?;
        let (records, problems) = history::read(plan.specification(), &self.events, &self.applications)?;
        if !problems.accepted(self.skip_invalid) {
            return Ok(ExitCode::from(super::INVALID_INPUT));
        }
        let replayed = point_in_time::replay(&plan, records, self.withhold);
        table::write(&self.out, &plan, &replayed.applications, &replayed.vectors)
            .map_err(|error| format!("cannot write `{}`: {error}", self.out.display()))?;
        summarise(&replayed, plan.width(), &self.out);
        Ok(ExitCode::SUCCESS)
    }
}

impl SpecificationSource {
    fn load(&self) -> Result<FeaturePlan, Box<dyn Error>> {
        let file = match (&self.bundle, &self.spec) {
            (Some(bundle), _) => bundle.join("features.toml"),
            (None, Some(spec)) => spec.clone(),
            (None, None) => unreachable!("clap requires one of the two"),
        };
        plan_of(&file)
    }
}

fn summarise(replayed: &Replayed, width: usize, out: &Path) {
    let Counts { events, of_others, too_late, applied, repeated, in_conflict } = replayed.counts;
    eprintln!("{}: {} applications, {width} features", out.display(), replayed.applications.len());
    eprintln!(
        "{events} events: {applied} applied, {repeated} repeated, {in_conflict} at odds with another of their identity, \
         {of_others} of people without an application, the rest known after the last application"
    );
    if too_late > 0 {
        eprintln!("{too_late} events were refused: older than the horizon when they arrived");
    }
}
