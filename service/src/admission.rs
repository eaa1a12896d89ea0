//! Whom a worker lets in when it has more to do than it can (S1: what is admitted is answered within its budget).
//!
//! What decides is how late the worker's event loop runs: that is what a request waits for, whatever the cause, and no constant has to
//! be guessed for a machine. The share that is refused follows that delay as in PIE (RFC 8033): it grows with the delay's distance
//! from the target and with its rise. A share is realised by adding it up and not by a random number: of ten requests at 0.3 three are
//! refused. What waits outside the worker, for a disk or a broker, makes no loop late: it is bounded by permits.
//!
//! No clock, no socket: whoever owns a worker says how late it ran and how old a request is.

use std::time::Duration;

/// How soon an answer is needed, by route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Somebody waits for it.
    Interactive,
    /// Many at once, which can come later.
    Batch,
    /// What a person or a program looks up.
    Background,
    /// How others see that the service is well, and how an operator changes that it is not: never refused.
    Vital,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Admit,
    Refuse(Reason),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The event loop runs late.
    Overload,
    /// As many as may be are in flight.
    Permits,
    /// It has waited for so long that its answer would be too late.
    Expired,
    /// Its client asks for more than it may.
    Rate,
}

/// What a look at a worker sees.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// How late its event loop runs.
    pub late: Duration,
    /// Since the last look, and how much of that time the worker's thread was on a core.
    pub since_last: Duration,
    pub worked: Duration,
    /// How many requests were begun while it was late.
    pub begun: u32,
}

/// How a worker is bounded.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How late the loop may run. Zero: no request is refused for that.
    pub delay: Duration,
    /// Requests in flight.
    pub in_flight: usize,
}

/// How much stricter a class is treated than the one before: a class is refused altogether before much of the next one is.
const STRICTNESS: [f64; 3] = [1.0, 3.0, 9.0];
/// The part of the permits that a class may fill, in quarters.
const QUARTERS: [usize; 3] = [4, 2, 1];

/// So many requests have to be begun while the loop is late for that to be a queue: a few clients that send large batches by turns, each
/// waiting for its answer, are none, however long each takes.
const QUEUE_LEAST: u32 = 8;
/// A thread that is on a core for this part of the time is busy: a core is shared with others.
const BUSY: f64 = 0.33;

/// The time between two looks at the delay for which the two gains below are made.
pub const PERIOD: Duration = Duration::from_millis(5);
/// How much the logarithm of the admitted share falls in a period in which the delay is off by the target, and when the delay rises by
/// the target. In logarithms, since what is admitted of ten times the load has to be found as finely as what is of twice the load.
const GAIN: f64 = 0.02;
const GAIN_OF_CHANGE: f64 = 0.1;
/// Below this part of the target no queue stands, and the share returns sooner.
const CALM: f64 = 0.2;
const GAIN_IN_CALM: f64 = 0.12;
/// Deviations count up to so many targets: a pause of the machine is no overload of that size.
const DEVIATION_MOST: f64 = 8.0;
/// Somebody is always let in, or the delay would say nothing any more.
const ADMITTED_LEAST: f64 = 0.01;

/// What one worker knows of its load.
#[derive(Debug)]
pub struct Admission {
    bounds: Bounds,
    /// The share of interactive requests that is let in.
    admitted: f64,
    /// The last delay that was seen, and the last that stood, in targets.
    seen: f64,
    stood: f64,
    /// What has added up for each class.
    due: [f64; 3],
    in_flight: usize,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Interactive, Self::Batch, Self::Background, Self::Vital];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
            Self::Background => "background",
            Self::Vital => "vital",
        }
    }
}

impl Look {
    /// The part of the delay that refusing requests would have spared.
    fn delay(&self) -> Duration {
        // A loop that is late with nothing queued, as with a client that asks alone, was held up by one piece of work or by others.
        if self.begun < QUEUE_LEAST || self.since_last.is_zero() {
            return Duration::ZERO;
        }
        // So is one whose thread was kept from the core for most of the time. One that has as much of it as it gets is overloaded.
        let on_core = self.worked.as_secs_f64() / self.since_last.as_secs_f64();
        self.late.mul_f64((on_core / BUSY).min(1.0))
    }
}

impl Reason {
    pub const ALL: [Self; 4] = [Self::Overload, Self::Permits, Self::Expired, Self::Rate];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::Permits => "permits",
            Self::Expired => "expired",
            Self::Rate => "rate",
        }
    }
}

impl Admission {
    /// A worker that has nothing to do.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, admitted: 1.0, seen: 0.0, stood: 0.0, due: [0.0; 3], in_flight: 0 }
    }

    /// Decides about a request of this class with so much of its budget left, if it has one. One that is admitted is yet to
    /// [enter](Self::enter).
    pub fn decide(&mut self, class: Class, left: Option<Duration>) -> Verdict {
        if class == Class::Vital {
            return Verdict::Admit;
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Verdict::Refuse(Reason::Expired);
        }
        if !self.has_room(class) {
            return Verdict::Refuse(Reason::Permits);
        }
        let (share, due) = (self.share_of(class), &mut self.due[class as usize]);
        // What was owed before the load went is forgotten with it.
        *due = if share > 0.0 { *due + share } else { 0.0 };
        if *due >= 1.0 {
            *due -= 1.0;
            return Verdict::Refuse(Reason::Overload);
        }
        Verdict::Admit
    }

    /// Whether one more of this class may be in flight.
    pub fn has_room(&self, class: Class) -> bool {
        class == Class::Vital || self.in_flight < self.bounds.in_flight * QUARTERS[class as usize] / 4
    }

    /// One more is in flight.
    pub fn enter(&mut self) {
        self.in_flight += 1;
    }

    /// One that was in flight is not any more.
    pub fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The share of interactive requests that is refused.
    pub fn share(&self) -> f64 {
        1.0 - self.admitted
    }

    /// Learns what a look at the worker saw.
    pub fn learn(&mut self, look: Look) {
        self.ran_late(look.delay(), look.since_last);
    }

    fn ran_late(&mut self, delay: Duration, since_last: Duration) {
        if self.bounds.delay.is_zero() {
            return;
        }
        let seen = delay.as_secs_f64() / self.bounds.delay.as_secs_f64();
        // One late round is a large batch or somebody else's turn on the core: a queue stands there twice.
        let stood = seen.min(self.seen).min(DEVIATION_MOST);
        let periods = (since_last.as_secs_f64() / PERIOD.as_secs_f64()).min(4.0);
        let change = GAIN * (stood - 1.0) * periods + GAIN_OF_CHANGE * (stood - self.stood);
        let change = if stood < CALM { change.min(-GAIN_IN_CALM * periods) } else { change };
        let admitted = (self.admitted * (-change).exp()).clamp(ADMITTED_LEAST, 1.0);
        self.admitted = if admitted > 0.999 { 1.0 } else { admitted };
        (self.seen, self.stood) = (seen, stood);
    }

    fn share_of(&self, class: Class) -> f64 {
        (self.share() * STRICTNESS[class as usize]).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Option<Duration> = Some(Duration::from_millis(50));

    fn admission() -> Admission {
        let bounds = Bounds { delay: Duration::from_millis(5), in_flight: 8 };
        Admission::new(bounds)
    }

    fn millis(millis: f64) -> Duration {
        Duration::from_secs_f64(millis / 1e3)
    }

    /// An admission whose loop runs so late until its share stands.
    fn late_by(delay: f64, rounds: usize) -> Admission {
        let mut admission = admission();
        (0..rounds).for_each(|_| admission.ran_late(millis(delay), millis(5.0 + delay)));
        admission
    }

    fn refused(admission: &mut Admission, class: Class, of: usize) -> usize {
        (0..of).filter(|_| admission.decide(class, NEW) == Verdict::Refuse(Reason::Overload)).count()
    }

    #[test]
    fn a_loop_in_time_refuses_nobody() {
        let mut admission = late_by(4.0, 1000);
        for class in Class::ALL {
            assert_eq!(refused(&mut admission, class, 100), 0, "{class:?}");
        }
    }

    #[test]
    fn one_late_round_refuses_nobody() {
        let mut admission = late_by(0.0, 10);
        for delay in [80.0, 0.0, 80.0, 0.0] {
            admission.ran_late(millis(delay), millis(5.0 + delay));
            assert_eq!(admission.share(), 0.0);
        }
        assert_eq!(refused(&mut admission, Class::Background, 100), 0);
    }

    #[test]
    fn a_delay_counts_as_far_as_refusing_would_have_spared_it() {
        let table = [
            (20.0, 25.0, 25.0, 10, 20.0, "a queue"),
            (20.0, 25.0, 10.0, 10, 20.0, "a queue on a core that is shared"),
            (20.0, 25.0, 25.0, 7, 0.0, "one large piece of work"),
            (20.0, 25.0, 1.0, 10, 2.4, "somebody else had the core"),
            (0.0, 0.0, 0.0, 10, 0.0, "no time has passed"),
        ];
        for (late, since_last, worked, begun, expected, case) in table {
            let [late, since_last, worked] = [late, since_last, worked].map(millis);
            let delay = Look { late, since_last, worked, begun }.delay().as_secs_f64() * 1e3;
            assert!((delay - expected).abs() < 0.1, "{case}: {delay}");
        }
    }

    #[test]
    fn a_queue_that_stands_is_met_within_a_third_of_a_second() {
        let (mut admission, mut elapsed) = (admission(), 0.0);
        while admission.share() < 0.9 {
            admission.ran_late(millis(20.0), millis(25.0));
            elapsed += 25.0;
        }
        assert!(elapsed < 333.0, "{elapsed} ms");
    }

    #[test]
    fn nothing_is_refused_a_quarter_of_a_second_after_the_load_went() {
        let (mut admission, mut elapsed) = (late_by(40.0, 100), 0.0);
        assert_eq!(admission.share(), 1.0 - ADMITTED_LEAST);
        while admission.share() > 0.0 {
            admission.ran_late(Duration::ZERO, millis(5.0));
            elapsed += 5.0;
        }
        assert!(elapsed < 250.0, "{elapsed} ms");
        assert_eq!(refused(&mut admission, Class::Background, 100), 0);
    }

    #[test]
    fn a_share_is_refused_evenly_and_the_less_urgent_first() {
        let mut admission = admission();
        admission.admitted = 0.875;
        assert_eq!(refused(&mut admission, Class::Interactive, 1000), 125);
        assert_eq!(refused(&mut admission, Class::Batch, 1000), 375);
        assert_eq!(refused(&mut admission, Class::Background, 1000), 1000);
        assert_eq!(refused(&mut admission, Class::Vital, 1000), 0);
    }

    /// A worker that could answer so many a millisecond is offered so many times that, from clients enough; a refusal costs a sixteenth of
    /// an answer. The part of its time that goes into answers, and the delay that 99 of 100 requests stay below, in milliseconds.
    fn offered(times: f64) -> (f64, f64) {
        const EACH: f64 = 0.06;
        let (mut admission, mut waiting, mut delay, mut spent, mut time, mut delays) =
            (admission(), 0.0, 0.0, 0.0, 0.0, Vec::new());
        for round in 0..4000 {
            let admitted = 1.0 - admission.share();
            let (since, cost) = (5.0 + delay, EACH * (admitted + (1.0 - admitted) / 16.0));
            waiting += since * times / EACH;
            let done = f64::min(waiting, since / cost);
            waiting -= done;
            delay = waiting * cost;
            admission.ran_late(millis(delay), millis(since));
            if round >= 1000 {
                spent += done * admitted * EACH;
                time += since;
                delays.push(delay);
            }
        }
        delays.sort_by(f64::total_cmp);
        (spent / time, delays[2970])
    }

    #[test]
    fn under_any_load_what_refusals_leave_goes_into_answers_and_the_queue_is_as_long_as_it_may_be() {
        for times in [1.1, 1.5, 2.0, 4.0, 10.0] {
            let (answered, late) = offered(times);
            // All that is offered is answered or refused: the rest of the time, and what refusals of the answered cost, follow.
            let most = (16.0 - times) / 15.0;
            assert!((answered - most).abs() < 0.01, "at {times} times: {answered} of {most}");
            assert!((late - 5.0).abs() < 1.0, "at {times} times: {late} ms");
        }
        let (answered, late) = offered(0.9);
        assert!((answered - 0.9).abs() < 0.001 && late < 1.0, "{answered} {late}");
    }

    #[test]
    fn permits_are_shared_by_urgency() {
        let mut admission = admission();
        for (in_flight, let_in) in [
            (0, [true, true, true]),
            (1, [true, true, true]),
            (2, [true, true, false]),
            (4, [true, false, false]),
            (8, [false, false, false]),
        ] {
            while admission.in_flight() < in_flight {
                admission.enter();
            }
            for (class, let_in) in Class::ALL.into_iter().zip(let_in) {
                let expected = if let_in { Verdict::Admit } else { Verdict::Refuse(Reason::Permits) };
                assert_eq!(admission.decide(class, NEW), expected, "{class:?} beside {in_flight}");
            }
            assert_eq!(admission.decide(Class::Vital, NEW), Verdict::Admit);
        }
        admission.leave();
        assert_eq!(admission.decide(Class::Interactive, NEW), Verdict::Admit);
    }

    #[test]
    fn what_has_no_time_left_is_refused_if_it_had_any() {
        for (left, class, expected) in [
            (Some(0.1), Class::Interactive, Verdict::Admit),
            (Some(0.0), Class::Interactive, Verdict::Refuse(Reason::Expired)),
            (None, Class::Batch, Verdict::Admit),
            (None, Class::Vital, Verdict::Admit),
        ] {
            assert_eq!(admission().decide(class, left.map(millis)), expected, "{class:?} with {left:?} ms left");
        }
    }
}
