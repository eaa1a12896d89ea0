//! Live KPIs: what is recorded by every thread is added up once a second and shown on a [`Board`] to all who look.
//!
//! Whoever looks gets the newest: nothing is kept for the slow (S5). Neither HTTP nor a clock is known here.

pub mod accuracy;
pub mod advice;
pub mod collector;
mod decisions;
pub mod drift;
pub mod groups;
pub mod interval;
mod percentiles;
pub mod recorder;
pub mod snapshot;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

pub use snapshot::{Point, Snapshot};

/// Where the newest snapshot stands.
pub struct Board {
    newest: watch::Sender<Arc<Posted>>,
}

/// A snapshot as it is shown.
#[derive(Debug, Default)]
pub struct Posted {
    pub snapshot: Snapshot,
    /// The same, written once for all who read it.
    pub json: Bytes,
    /// The last two minutes, second by second, the oldest first; the newest is that of the snapshot.
    pub points: VecDeque<Point>,
}

/// Points of a minute. Two are kept, so that each point of the last one can be told with the minute that ended with it.
pub const MINUTE: usize = 60;

impl Default for Board {
    fn default() -> Self {
        Self { newest: watch::Sender::new(Arc::default()) }
    }
}

impl Board {
    /// Shows a snapshot in place of the one before.
    pub fn post(&self, snapshot: Snapshot) {
        let json = serde_json::to_vec(&snapshot).expect("names and numbers can be written").into();
        let before = self.newest();
        let skipped = (before.points.len() + 1).saturating_sub(2 * MINUTE);
        let points = before.points.iter().skip(skipped).chain([&snapshot.point]).cloned().collect();
        self.newest.send_replace(Arc::new(Posted { snapshot, json, points }));
    }

    /// The newest snapshot.
    pub fn newest(&self) -> Arc<Posted> {
        self.newest.borrow().clone()
    }

    /// Tells of each new one, and only of the newest.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Posted>> {
        self.newest.subscribe()
    }
}

impl Posted {
    /// The last minute.
    pub fn minute(&self) -> impl Iterator<Item = &Point> + Clone {
        self.points.iter().skip(self.points.len().saturating_sub(MINUTE))
    }
}
