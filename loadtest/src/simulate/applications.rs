//! What somebody applies for, and how it ends.

use std::ops::Range;

use rand::RngExt;
use rand_distr::{Distribution, Poisson};

use super::people::{Draw, between, cents, chance, logistic, normal};
use super::{Content, Details, Form, Person, Record};

/// Days of history at first without an application: as long as the windows of the default bundle, and a day.
const WARM_UP_DAYS: u32 = 91;
/// Of a day: the errands just before an application are on the same day then, in the order in which days are made.
const FIRST_HOUR: f64 = 0.02;
/// Nobody applies more often, however long the history is.
const MOST: usize = 64;

/// What a loan is for, and what that adds to the log-odds of a default.
const PURPOSES: [(&str, f64); 7] = [
    ("home", -0.2),
    ("vehicle", -0.1),
    ("education", 0.0),
    ("health", 0.1),
    ("business", 0.2),
    ("debt", 0.35),
    ("other", 0.0),
];
const TERMS: [u8; 7] = [6, 12, 18, 24, 36, 48, 60];

/// A form, and what it is filled in with where it asks for less.
pub(super) struct Request {
    pub(super) form: Form,
    term_months: u8,
    purpose_risk: f64,
    /// What is asked for, in monthly incomes.
    incomes: f64,
}

impl Person {
    /// Adds the applications of these days, and the errands before them.
    pub(super) fn applications(&self, days: Range<u32>, late_share: f64, out: &mut Vec<Record>) {
        for (number, day) in (0..).zip(self.application_days()) {
            if !days.contains(&(day as u32)) {
                continue;
            }
            if !self.is_new {
                self.errands(number, day, late_share, out);
            }
            let request = self.request(number);
            let propensity = self.propensity_of(&request, day, number);
            let defaulted = chance(&mut self.draws(Draw::Outcome, number), propensity);
            let content = Content::Application { form: request.form, propensity, defaulted };
            let time = self.at(day);
            out.push(Record { time, arrived_at: time, person: self.number, number: 0, content });
        }
    }

    /// In order of time. People in trouble ask more often.
    fn application_days(&self) -> Vec<f64> {
        let first = WARM_UP_DAYS.min(self.days / 3);
        let a_day = if self.shock_day.is_some_and(|day| day + 30.0 < self.days.into()) { 0.014 } else { 0.0075 };
        let mut random = self.draws(Draw::ApplicationDays, 0);
        let Ok(others) = Poisson::new(a_day * f64::from(self.days - first)) else { return Vec::new() };
        let count = (1 + others.sample(&mut random) as usize).min(MOST);
        let mut day = || f64::from(random.random_range(first..self.days)) + between(&mut random, FIRST_HOUR, 1.0);
        let mut days: Vec<f64> = (0..count).map(|_| day()).collect();
        days.sort_by(f64::total_cmp);
        days
    }

    /// What they fill in as their application of that number.
    pub(super) fn request(&self, number: u64) -> Request {
        let mut random = self.draws(Draw::Form, number);
        let (purpose, purpose_risk) = PURPOSES[random.random_range(0..PURPOSES.len())];
        let term_months = TERMS[random.random_range(0..TERMS.len())];
        let incomes = (0.9 + 0.6 * normal(&mut random)).exp();
        let declared = self.income * (0.03 + 0.08 * normal(&mut random)).exp();
        let score = (640.0 + 55.0 * self.discipline + 45.0 * normal(&mut random)).clamp(300.0, 850.0);
        let form = Form {
            monthly_income: cents(declared),
            amount: cents((incomes * self.income).max(50.0)),
            age: self.age,
            credit_score: chance(&mut random, 0.85).then_some(score as u16),
            // The others come from the form that sends only what is certain.
            details: chance(&mut random, 0.65).then_some(Details {
                term_months,
                purpose,
                employment: self.employment.name,
            }),
        };
        Request { form, term_months, purpose_risk, incomes }
    }

    /// The probability that it defaults: what a model can at best find out.
    fn propensity_of(&self, request: &Request, day: f64, earlier: u64) -> f64 {
        logistic(
            -3.0 - 0.75 * self.discipline
                + 2.4 * self.strain(day + 20.0)
                + 0.6 * (request.incomes / 2.5).ln()
                + 0.2 * earlier.min(3) as f64
                + self.employment.risk
                + request.purpose_risk
                + 0.006 * (f64::from(request.term_months) - 24.0),
        )
    }
}
