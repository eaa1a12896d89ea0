//! Whether applications of normal priority have to wait: above one lag they do, until it is below another.

/// Whether applications wait, with the hysteresis that keeps it from flapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    high: u64,
    low: u64,
    is_deferring: bool,
}

impl Pressure {
    /// Not waiting yet. `low` is at most `high`.
    pub fn new(high: u64, low: u64) -> Self {
        Self { high, low, is_deferring: false }
    }

    /// Whether applications of normal priority wait.
    pub fn is_deferring(&self) -> bool {
        self.is_deferring
    }

    /// Takes the lag in records; whether that changed anything.
    pub fn observe(&mut self, lag: u64) -> bool {
        let before = self.is_deferring;
        self.is_deferring = if before { lag >= self.low.max(1) } else { lag > self.high };
        self.is_deferring != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_wait_above_the_high_mark_until_the_lag_is_below_the_low_one() {
        let mut pressure = Pressure::new(100, 10);
        let steps =
            [(100, false), (101, true), (50, true), (10, true), (9, false), (50, false), (100, false), (500, true)];
        for (lag, expected) in steps {
            let before = pressure.is_deferring();
            assert_eq!(pressure.observe(lag), before != expected, "{lag}");
            assert_eq!(pressure.is_deferring(), expected, "{lag}");
        }
    }

    #[test]
    fn a_low_mark_of_zero_still_ends_the_wait_once_nothing_is_behind() {
        let mut pressure = Pressure::new(0, 0);
        assert!(pressure.observe(1) && pressure.is_deferring());
        assert!(pressure.observe(0) && !pressure.is_deferring());
    }
}
