//! Who somebody is: drawn once, seen by nobody.

use cauce_features::time::Timestamp;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::{Bank, DAY_MS};
use crate::random::{self, Random};

/// Keeps people apart from whatever else is drawn from the same seed.
const PEOPLE: u64 = 0x70656f706c65;

/// What nobody sees, and what follows from it.
#[derive(Debug, Clone)]
pub struct Person {
    pub number: u64,
    pub age: u8,
    pub employment: &'static Employment,
    /// A month, in whole units of money.
    pub income: f64,
    /// 0 is ordinary; every unit more makes late payments and default rarer.
    pub discipline: f64,
    /// The day of the history from which on income is cut, of some.
    pub shock_day: Option<f64>,
    /// Whether the bank knows nothing of them but their applications.
    pub is_new: bool,
    pub(super) salary_day: u32,
    pub(super) purchases_a_month: f64,
    pub(super) merchants: u64,
    pub(super) instalment: Option<Instalment>,
    pub(super) card: Card,
    pub(super) start: Timestamp,
    /// Of the bank's history.
    pub(super) days: u32,
    /// Of all their draws.
    seed: u64,
}

/// How somebody earns a living, with what follows from it.
#[derive(Debug, PartialEq)]
pub struct Employment {
    pub name: &'static str,
    share: f64,
    income: f64,
    /// What it adds to the log-odds of a default.
    pub(super) risk: f64,
}

const EMPLOYMENTS: [Employment; 5] = [
    Employment { name: "salaried", share: 0.50, income: 1.0, risk: -0.2 },
    Employment { name: "retired", share: 0.12, income: 0.7, risk: -0.3 },
    Employment { name: "self_employed", share: 0.18, income: 1.1, risk: 0.1 },
    Employment { name: "informal", share: 0.15, income: 0.55, risk: 0.3 },
    Employment { name: "unemployed", share: 0.05, income: 0.35, risk: 0.7 },
];

/// A loan that is being repaid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instalment {
    pub(super) amount: i64,
    pub(super) due_day: u32,
}

/// A credit card.
#[derive(Debug, Clone, Copy)]
pub(super) struct Card {
    pub(super) limit: f64,
    /// The used share of the limit at first.
    pub(super) used: f64,
    pub(super) statement_day: u32,
}

/// What a person's draws are for: each has a stream of its own, so that none moves another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Draw {
    Salary = 1,
    Purchases,
    Merchant,
    Instalment,
    Card,
    ApplicationDays,
    Form,
    Outcome,
    Errands,
    Load,
}

impl Person {
    pub(super) fn new(bank: &Bank, number: u64) -> Self {
        let mut random = random::stream(bank.seed, PEOPLE, number);
        let days = bank.days();
        let employment = pick_employment(random.random());
        let is_retired = employment.name == "retired";
        let income = 1100.0 * employment.income * (0.45 * normal(&mut random)).exp();
        let discipline = normal(&mut random);
        Self {
            number,
            age: if is_retired { random.random_range(58..82) } else { random.random_range(19..66) },
            employment,
            income,
            discipline,
            shock_day: chance(&mut random, 0.22).then(|| f64::from(days) * between(&mut random, 0.2, 1.0)),
            is_new: chance(&mut random, 0.15),
            salary_day: random.random_range(1..29),
            purchases_a_month: between(&mut random, 4.0, 12.0),
            merchants: random.random_range(4..18),
            instalment: chance(&mut random, 0.7).then(|| Instalment {
                amount: cents(income * between(&mut random, 0.08, 0.25)),
                due_day: random.random_range(1..29),
            }),
            card: Card {
                limit: (income * between(&mut random, 0.8, 3.0) / 100.0).round() * 100.0 + 100.0,
                used: (0.45 - 0.2 * discipline + 0.15 * normal(&mut random)).clamp(0.0, 1.0),
                statement_day: random.random_range(1..29),
            },
            start: bank.start,
            days,
            seed: random.random(),
        }
    }

    /// How badly they are doing on a day: 0 is ordinary, 1 two months behind a shock and from then on.
    pub fn strain(&self, day: f64) -> f64 {
        self.shock_day.map_or(0.0, |shock| ((day - shock) / 60.0).clamp(0.0, 1.0))
    }

    /// The probability that an ordinary loan of theirs would default while nothing befalls them.
    pub fn propensity(&self) -> f64 {
        logistic(-3.0 - 0.75 * self.discipline + self.employment.risk)
    }

    pub(super) fn draws(&self, draw: Draw, number: u64) -> Random {
        random::stream(self.seed, draw as u64, number)
    }

    /// The instant of a day of the history, in whole seconds.
    pub(super) fn at(&self, day: f64) -> Timestamp {
        Timestamp::from_millis(self.start.millis() + (day * 86_400.0).round() as i64 * 1_000)
    }

    pub(super) fn day_of(&self, time: Timestamp) -> f64 {
        (time.millis() - self.start.millis()) as f64 / DAY_MS as f64
    }
}

fn pick_employment(drawn: f64) -> &'static Employment {
    let mut below = 0.0;
    let found = EMPLOYMENTS.iter().find(|employment| {
        below += employment.share;
        drawn < below
    });
    // The shares' sum may be a little less than 1.
    found.unwrap_or(&EMPLOYMENTS[0])
}

pub(super) fn normal(random: &mut Random) -> f64 {
    StandardNormal.sample(random)
}

pub(super) fn between(random: &mut Random, low: f64, high: f64) -> f64 {
    low + (high - low) * random.random::<f64>()
}

pub(super) fn chance(random: &mut Random, probability: f64) -> bool {
    random.random::<f64>() < probability
}

pub(super) fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

pub(super) fn cents(amount: f64) -> i64 {
    (amount * 100.0).round() as i64
}
