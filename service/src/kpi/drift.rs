//! How far what the model sees, and what it gives, has moved from its training: the population stability index (PSI) of live counts
//! against the distributions in the bundle's `reference.json`.
//!
//! PSI = Σ (live - reference) × ln(live / reference) over the shares of the bins, a missing value being a bin of its own (Siddiqi,
//! Credit Risk Scorecards, 2006). It is 0 where nothing has moved; by custom 0.1 is worth a look and 0.25 a real shift. Chance alone
//! gives (bins - 1) × (1/n + 1/m) on average for n live rows and m of training (Yurdakul, Statistical Properties of Population Stability
//! Index, 2018): 0.02 for eleven bins and 500 rows, which is why there is none below `kpi.drift_samples`.
//!
//! The window slides by slots that are added and subtracted as whole numbers, so it never drifts itself. It holds at most
//! [`SLOTS`] + 1 counts of eight bytes for each bin, 220 kB for 40 features of eleven bins, however much is scored (S5). A row costs a
//! binary search for each feature, on the thread that makes the KPIs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cauce_model::bundle::Bundle;
use cauce_model::reference::Distribution;

use super::snapshot::{Bin, FeatureDrift, ScoreDrift};
use crate::config;

/// Steps in which the window slides: it covers the last 59 to 60 of them.
const SLOTS: usize = 60;

/// Features that are told of.
const FURTHEST: usize = 10;

/// What a share counts at least: the logarithm of an empty bin would be infinite. A row in ten thousand is less than samples of this
/// size can tell from none, and a bin that training never saw adds no more than 0.006 for one live row in 500.
const SHARE_MIN: f64 = 1e-4;

/// Live counts of the window beside the training of one bundle.
#[derive(Debug)]
pub struct Comparison {
    /// The hash of the bundle; empty before there is one.
    bundle: String,
    names: Vec<Arc<str>>,
    /// Of the features in vector order, then of the scores.
    columns: Vec<Column>,
    samples_min: u64,
    slot: Duration,
    /// How long the newest slot has lasted.
    lasted: Duration,
    /// Counts by bin, column after column; the newest at the back.
    slots: VecDeque<Vec<u64>>,
    /// The sum of the slots.
    total: Vec<u64>,
}

/// What training saw of one value, and where its bins begin in a slot. The last bin is of missing values.
#[derive(Debug)]
struct Column {
    trained: Distribution,
    first: usize,
}

impl Comparison {
    /// Nothing is compared before a bundle is followed.
    pub fn new(settings: &config::Kpi) -> Self {
        Self {
            bundle: String::new(),
            names: Vec::new(),
            columns: Vec::new(),
            samples_min: settings.drift_samples,
            slot: settings.drift_window.get() / SLOTS as u32,
            lasted: Duration::ZERO,
            slots: VecDeque::new(),
            total: Vec::new(),
        }
    }

    /// Begins anew where the bundle is another: its features, its training and its scores are.
    pub fn follow(&mut self, bundle: &Bundle) {
        if self.bundle != bundle.hash() {
            let reference = bundle.reference();
            self.bundle = bundle.hash().to_owned();
            self.begin(bundle.plan().names(), reference.features.iter().chain([&reference.scores]).cloned());
        }
    }

    /// Counts a vector of the bundle that is followed, and the probability that its model gave; `None` where something else gave the
    /// score, since training knows the scores of the model alone. A vector of another width is of another bundle and is left out.
    pub fn add(&mut self, vector: &[f32], probability: Option<f32>) {
        if vector.len() != self.names.len() {
            return;
        }
        let Some(newest) = self.slots.back_mut() else { return };
        for (column, value) in self.columns.iter().zip(vector.iter().chain(&probability)) {
            let place = column.place(*value);
            newest[place] += 1;
            self.total[place] += 1;
        }
    }

    /// Lets time pass: what is older than the window is no longer counted.
    pub fn advance(&mut self, elapsed: Duration) {
        self.lasted += elapsed;
        let slot = self.slot.as_nanos().max(1);
        // Behind a whole window nothing is left, however long it was.
        let passed = (self.lasted.as_nanos() / slot).min(SLOTS as u128);
        for _ in 0..passed {
            self.turn();
        }
        self.lasted = Duration::from_nanos((self.lasted.as_nanos() % slot) as u64);
    }

    /// Vectors in the window.
    pub fn samples(&self) -> u64 {
        if self.names.is_empty() { 0 } else { self.live(0).iter().sum() }
    }

    /// The scores of the model against those of training.
    pub fn scores(&self) -> ScoreDrift {
        let Some(scores) = self.columns.last() else { return ScoreDrift::default() };
        let live = self.live(self.columns.len() - 1);
        let samples: u64 = live.iter().sum();
        let bins = scores.trained.shares.iter().zip(live).enumerate().map(|(place, (reference, count))| Bin {
            below: scores.trained.edges.get(place).copied(),
            reference: *reference,
            live: share(*count, samples),
        });
        let psi = (samples >= self.samples_min).then(|| scores.psi(live, samples));
        ScoreDrift { psi, samples, bins: bins.collect() }
    }

    /// The features that have moved furthest, that one first; none while there are too few vectors to tell.
    pub fn features(&self) -> Vec<FeatureDrift> {
        let samples = self.samples();
        if samples < self.samples_min {
            return Vec::new();
        }
        let drift = |(place, (feature, column)): (usize, (&Arc<str>, &Column))| {
            let live = self.live(place);
            FeatureDrift {
                feature: feature.clone(),
                psi: column.psi(live, samples),
                missing: live.last().map_or(0.0, |missing| share(*missing, samples)),
                missing_reference: column.trained.missing,
            }
        };
        let mut all: Vec<_> = self.names.iter().zip(&self.columns).enumerate().map(drift).collect();
        all.sort_by(|a, b| b.psi.total_cmp(&a.psi));
        all.truncate(FURTHEST);
        all
    }

    fn begin<'n>(&mut self, names: impl Iterator<Item = &'n str>, trained: impl Iterator<Item = Distribution>) {
        self.names = names.map(Arc::from).collect();
        let mut first = 0;
        let column = |trained: Distribution| {
            let column = Column { trained, first };
            first += column.bins();
            column
        };
        self.columns = trained.map(column).collect();
        self.total = vec![0; first];
        self.slots.clear();
        self.lasted = Duration::ZERO;
        self.turn();
    }

    /// Begins a slot; one that leaves the window is taken out of the sum and used again.
    fn turn(&mut self) {
        let gone = if self.slots.len() < SLOTS { None } else { self.slots.pop_front() };
        let mut slot = gone.unwrap_or_else(|| vec![0; self.total.len()]);
        for (total, gone) in self.total.iter_mut().zip(&mut slot) {
            *total -= std::mem::take(gone);
        }
        self.slots.push_back(slot);
    }

    /// The counts of a column in the window.
    fn live(&self, column: usize) -> &[u64] {
        let Column { first, .. } = self.columns[column];
        &self.total[first..first + self.columns[column].bins()]
    }
}

impl Column {
    fn bins(&self) -> usize {
        self.trained.shares.len() + 1
    }

    /// The bin of a value: it is below its edge and not below the one before, as it was when training counted.
    fn place(&self, value: f32) -> usize {
        let Distribution { edges, shares, .. } = &self.trained;
        let bin = if value.is_nan() { shares.len() } else { edges.partition_point(|edge| *edge <= f64::from(value)) };
        self.first + bin
    }

    fn psi(&self, live: &[u64], samples: u64) -> f64 {
        let reference = self.trained.shares.iter().chain([&self.trained.missing]);
        let term = |(reference, count): (&f64, &u64)| {
            let (reference, live) = (reference.max(SHARE_MIN), share(*count, samples).max(SHARE_MIN));
            (live - reference) * (live / reference).ln()
        };
        reference.zip(live).map(term).sum()
    }
}

fn share(count: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { count as f64 / of as f64 }
}

#[cfg(test)]
mod tests;
