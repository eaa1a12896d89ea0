//! What somebody does: the events of any days, without those before them.

use std::ops::Range;

use cauce_features::time::Timestamp;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Poisson};

use super::people::{Draw, between, cents, chance, normal};
use super::{Content, Counterparty, Person, Record};
use crate::random::Random;

/// Salaries, instalments and statements come in months of so many days.
const MONTH: u32 = 30;
/// The longest that an instalment is late.
const MOST_LATE_DAYS: u32 = 85;
/// Of a day: what is begun later would end on the next one, out of the order in which days are made.
const LAST_HOUR: f64 = 0.98;

/// Merchants that there are.
const MERCHANTS: u64 = 4_000;

impl Person {
    /// Adds the events of these days, of each kind in order of time. `late_share` of the transactions arrive late.
    pub(super) fn events(&self, days: Range<u32>, late_share: f64, out: &mut Vec<Record>) {
        if self.is_new {
            return;
        }
        self.salaries(days.clone(), late_share, out);
        self.purchases(days.clone(), late_share, out);
        self.instalments(days.clone(), out);
        self.statements(days, out);
    }

    fn salaries(&self, days: Range<u32>, late_share: f64, out: &mut Vec<Record>) {
        for day in monthly(self.salary_day, days) {
            let mut random = self.draws(Draw::Salary, day.into());
            let day = f64::from(day);
            let content = self.salary(self.strain(day), &mut random);
            let day = day + between(&mut random, 0.3, 0.6);
            out.push(self.transaction(day, content, late_share, &mut random));
        }
    }

    fn purchases(&self, days: Range<u32>, late_share: f64, out: &mut Vec<Record>) {
        let a_day = Poisson::new(self.purchases_a_month / f64::from(MONTH)).expect("a rate above 0");
        for day in days {
            let mut random = self.draws(Draw::Purchases, day.into());
            let strain = self.strain(day.into());
            for _ in 0..a_day.sample(&mut random) as u32 {
                let time = f64::from(day) + between(&mut random, 0.0, LAST_HOUR);
                let content = self.purchase(strain, &mut random);
                let again = chance(&mut random, 0.2).then(|| between(&mut random, 0.002, 0.015));
                out.push(self.transaction(time, content.clone(), late_share, &mut random));
                // On the same errand: sessions.
                if let (Some(later), Content::Transaction { amount, is_income, channel, counterparty }) =
                    (again, content)
                {
                    let content = Content::Transaction { amount: amount / 3, is_income, channel, counterparty };
                    out.push(self.transaction(time + later, content, late_share, &mut random));
                }
            }
        }
    }

    /// Those that are paid on these days, whenever they were due.
    fn instalments(&self, days: Range<u32>, out: &mut Vec<Record>) {
        let Some(instalment) = self.instalment else { return };
        for due in monthly(instalment.due_day, days.start.saturating_sub(MOST_LATE_DAYS)..days.end) {
            let mut random = self.draws(Draw::Instalment, due.into());
            let days_past_due = self.days_past_due(self.strain(due.into()), &mut random);
            let paid = due + days_past_due;
            if days.contains(&paid) {
                let content = Content::Payment { amount: instalment.amount, days_past_due };
                out.push(self.on_time(f64::from(paid) + between(&mut random, 0.3, 0.8), content));
            }
        }
    }

    fn statements(&self, days: Range<u32>, out: &mut Vec<Record>) {
        if monthly(self.card.statement_day, days.clone()).next().is_none() {
            return;
        }
        // A walk goes on from where it was, so its steps are made again from the first.
        let (mut random, mut used) = (self.draws(Draw::Card, 0), self.card.used);
        for day in monthly(self.card.statement_day, 0..days.end) {
            let step = 0.06 * normal(&mut random) + 0.15 * self.strain(day.into());
            used = (used + step).clamp(-0.05, 1.15);
            if day >= days.start {
                out.push(self.on_time(f64::from(day) + 0.2, self.statement(used)));
            }
        }
    }

    /// Transfers to an account of one's own just before an application: who is short of money empties the one that is looked at.
    pub(super) fn errands(&self, application: u64, day: f64, late_share: f64, out: &mut Vec<Record>) {
        let mut random = self.draws(Draw::Errands, application);
        let count = Poisson::new(0.3 + 2.0 * self.strain(day)).expect("a rate above 0");
        for _ in 0..count.sample(&mut random) as u32 {
            let content = Content::Transaction {
                amount: cents(self.income * between(&mut random, 0.02, 0.1)),
                is_income: false,
                channel: "transfer",
                counterparty: Counterparty::OwnAccount,
            };
            let day = day - between(&mut random, 0.0005, 0.015);
            out.push(self.transaction(day, content, late_share, &mut random));
        }
    }

    /// Something that they might do at any time: what load is made of.
    pub(super) fn some_event(&self, index: u64, time: Timestamp) -> Content {
        let mut random = self.draws(Draw::Load, index);
        let strain = self.strain(self.day_of(time));
        match random.random_range(0..100) {
            0..6 => {
                let amount = self.instalment.map_or(cents(0.1 * self.income), |instalment| instalment.amount);
                Content::Payment { amount, days_past_due: self.days_past_due(strain, &mut random) }
            }
            6..12 => self.statement((self.card.used + 0.2 * normal(&mut random)).clamp(-0.05, 1.15)),
            12..17 => self.salary(strain, &mut random),
            _ => self.purchase(strain, &mut random),
        }
    }

    fn salary(&self, strain: f64, random: &mut Random) -> Content {
        let amount = cents(self.income * (1.0 - 0.6 * strain) * (0.05 * normal(random)).exp());
        Content::Transaction { amount, is_income: true, channel: "transfer", counterparty: Counterparty::Employer }
    }

    fn purchase(&self, strain: f64, random: &mut Random) -> Content {
        let a_month = self.income * (0.82 - 0.12 * self.discipline).clamp(0.35, 1.3);
        let size = (-0.3 + 0.8 * normal(random)).exp();
        let amount = cents(a_month / self.purchases_a_month * size * (1.0 - 0.2 * strain));
        let channel = if chance(random, 0.15 + 0.3 * strain) {
            "cash"
        } else {
            match random.random_range(0..10) {
                0..5 => "card",
                5..8 => "transfer",
                _ => "direct_debit",
            }
        };
        let counterparty = if channel == "cash" {
            Counterparty::None
        } else {
            let own = random.random_range(0..self.merchants);
            Counterparty::Merchant(1 + self.draws(Draw::Merchant, own).next_u64() % MERCHANTS)
        };
        Content::Transaction { amount, is_income: false, channel, counterparty }
    }

    fn days_past_due(&self, strain: f64, random: &mut Random) -> u32 {
        let lateness = -2.5 - 3.0 * self.discipline + 22.0 * strain + 5.0 * normal(random);
        lateness.clamp(0.0, MOST_LATE_DAYS.into()) as u32
    }

    fn statement(&self, used: f64) -> Content {
        let limit = self.card.limit;
        Content::Statement {
            balance: cents(used * limit),
            limit: cents(limit),
            minimum_due: cents(used.max(0.0) * limit * 0.05),
        }
    }

    fn on_time(&self, day: f64, content: Content) -> Record {
        let time = self.at(day);
        Record { time, arrived_at: time, person: self.number, number: 0, content }
    }

    fn transaction(&self, day: f64, content: Content, late_share: f64, random: &mut Random) -> Record {
        // Both are drawn in any case: a share of 0 leaves everything else as it is.
        let (is_late, delay) = (chance(random, late_share), between(random, 0.05, 1.5));
        let mut record = self.on_time(day, content);
        if is_late {
            record.arrived_at = self.at(day + delay);
        }
        record
    }
}

/// The days of a range that are so many days behind the begin of a month.
fn monthly(day_of_month: u32, days: Range<u32>) -> impl Iterator<Item = u32> {
    let months_before = days.start.saturating_sub(day_of_month).div_ceil(MONTH);
    (months_before..).map(move |month| day_of_month + month * MONTH).take_while(move |day| *day < days.end)
}
