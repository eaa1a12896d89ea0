//! `cauce score`: scores a file of applications, each at its own `as_of`, with the answers that the service would have
//! given.
//!
//! The vectors come from [`super::point_in_time`], the model takes them in batches, which costs less a row than one
//! at a time.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use cauce_model::bundle::{Bundle, Limits};
use cauce_model::onnx::OnnxModel;
use clap::Args;
use serde::Serialize;

use super::point_in_time::Replayed;
use super::{history, output, point_in_time, progress};
use crate::http::score::{BundleRef, InstantText, Kept, Scored};
use crate::scoring::{Decision, Made};

/// Large enough to share the cost of a run, small enough to stay in the caches.
const BATCH_ROWS: usize = 256;

/// Score a file of applications without a server.
#[derive(Debug, Args)]
pub(crate) struct Score {
    /// Applications (NDJSON), each with its `as_of`.
    file: PathBuf,
    /// The bundle to score with.
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Events (NDJSON) of the people who apply, in any order.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    events: Vec<PathBuf>,
    /// Where the scores go (NDJSON, in the order of the applications); standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave out lines that are not valid records, and say how many.
    #[arg(long)]
    skip_invalid: bool,
}

impl Score {
    /// Reads, replays, scores, writes.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let bundle = Bundle::load(&self.bundle, &Limits::default())
            .map_err(|error| format!("cannot load `{}`: {error}", self.bundle.display()))?;
        let (records, problems) = history::read(bundle.plan().specification(), &self.events, &self.file)?;
        if !problems.accepted(self.skip_invalid) {
            return Ok(ExitCode::from(super::INVALID_INPUT));
        }
        let replayed = point_in_time::replay(bundle.plan(), records, None);
        match &self.out {
            None => write(io::stdout().lock(), &bundle, &replayed)?,
            Some(out) => output::write_whole(out, |file| write(file, &bundle, &replayed))
                .map_err(|error| format!("cannot write `{}`: {error}", out.display()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write(mut out: impl Write, bundle: &Bundle, replayed: &Replayed) -> io::Result<()> {
    let mut model = OnnxModel::new(bundle).map_err(io::Error::other)?;
    let width = bundle.width();
    let bar = progress::items("score", replayed.applications.len() as u64);
    for first in (0..replayed.applications.len()).step_by(BATCH_ROWS) {
        let rows = first..replayed.applications.len().min(first + BATCH_ROWS);
        let vectors = &replayed.vectors[rows.start * width..rows.end * width];
        let (mode, probabilities) = infer(&mut model, bundle, vectors);
        for (row, probability) in rows.zip(probabilities) {
            serde_json::to_writer(&mut out, &answer(bundle, replayed, row, mode, probability))?;
            out.write_all(b"\n")?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    out.flush()
}

/// Probabilities from the model or else, as in the service, from the scorecard.
fn infer(model: &mut OnnxModel, bundle: &Bundle, vectors: &[f32]) -> (Made, Vec<f32>) {
    match model.probabilities(vectors) {
        Ok(probabilities) => (Made::FULL, probabilities.to_vec()),
        Err(error) => {
            eprintln!("the model failed, so the scorecard answers: {error}");
            let rows = vectors.chunks_exact(bundle.width());
            (Made::FAILED, rows.map(|row| bundle.scorecard().probability(row)).collect())
        }
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    scored: Scored<'a>,
    bundle: BundleRef<'a>,
    as_of: InstantText,
}

fn answer<'a>(bundle: &'a Bundle, replayed: &'a Replayed, row: usize, made: Made, probability: f32) -> Answer<'a> {
    let application = &replayed.applications[row];
    let decision = Decision {
        score: Some(bundle.policy().score(probability)),
        made,
        history: replayed.histories[row],
        recorded: !application.application.person().is_empty(),
        vector: &replayed.vectors[row * bundle.width()..][..bundle.width()],
    };
    Answer {
        scored: Scored::new(&application.application, &decision, application.as_of, false, Kept::Relaxed),
        bundle: BundleRef::of(bundle),
        as_of: InstantText(application.as_of),
    }
}
