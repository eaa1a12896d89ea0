//! The one clock of the service, read at the edge only. It may stand still, to replay history.

use std::time::{SystemTime, UNIX_EPOCH};

use cauce_features::time::Timestamp;

/// Where `now` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    System,
    Frozen(Timestamp),
}

impl Clock {
    /// The instant it shows.
    pub fn now(self) -> Timestamp {
        match self {
            Self::Frozen(instant) => instant,
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }
}
