//! A made-up bank: people with a hidden propensity to default and fortunes that turn, so that history says more than the form does.
//!
//! It makes no claim on reality. It is there so that the service has something to serve, to be measured and to be trained on before a
//! bank's own data are: the shapes are those of real events, and whether somebody defaults depends on what the events show.
//!
//! Everything is drawn from the seed and a person's number alone (and, within a person, the day): any thread can make any part of it, and
//! the same seed gives the same bytes (on machines whose mathematical library rounds alike). `Z` is a standard normal draw, `U` a uniform one, `t` a day of the history, which has `T` days.
//!
//! Nobody recovers from a shock: towards its end a history is gloomier than at its begin, with more defaults and later payments. A model that
//! is trained on the first part of it and tested on the last sees that as drift.
//!
//! | what | how it is drawn |
//! |---|---|
//! | employment `e` | categorical: salaried 50 %, retired 12 %, self-employed 18 %, informal 15 %, unemployed 5 % |
//! | age | uniform: 58 to 81 if retired, else 19 to 65; the outcome does not depend on it |
//! | income a month `I` | log-normal: 1100 · f(e) · exp(0.45 Z) |
//! | discipline `D` | Z: nobody sees it |
//! | shock, of 22 % | uniform in (T/5, T); strain `s(t)` goes from 0 to 1 over the 60 days behind it |
//! | no history at all | 15 % |
//! | salary, every 30 days | I · (1 − 0.6 s) · exp(0.05 Z) |
//! | purchases | Poisson, 4 to 12 a month (`n`), of I · clamp(0.82 − 0.12 D, 0.35, 1.3) / n · exp(−0.3 + 0.8 Z) · (1 − 0.2 s) |
//! | ‥ their counterparties, channel | 4 to 17 merchants of one's own; cash with 15 % + 30 % · s; a second one on the same errand with 20 % |
//! | instalments, of 70 % | every 30 days, U(0.08, 0.25) · I; paid late by clamp(−2.5 − 3 D + 22 s + 5 Z, 0, 85) days |
//! | statements, every 30 days | used share of the limit: a random walk from 0.45 − 0.2 D + 0.15 Z with steps 0.06 Z + 0.15 s |
//! | late arrival | 5 % of transactions, by U(0.05, 1.5) days |
//! | applications | 1 + Poisson(0.0075 a day; 0.014 for who had a shock), once the first 91 days (a third of fewer) are over |
//! | errands before one | Poisson(0.3 + 2 s) transfers of U(0.02, 0.1) · I to an account of one's own |
//! | form | asked: I · exp(0.9 + 0.6 Z); declared income: I · exp(0.03 + 0.08 Z); score: 640 + 55 D + 45 Z, of 85 % |
//! | ‥ its other fields, of 65 % | term, purpose and employment; the others' form sends only what is certain |
//! | default | Bernoulli: log-odds −3 − 0.75 D + 2.4 s(t + 20) + 0.6 ln(asked / 2.5 I) + 0.2 min(earlier, 3) + r(e) + r(purpose) + 0.006 (term − 24) |

mod applications;
pub mod command;
mod counts;
mod error;
mod faults;
mod files;
mod history;
mod kafka;
mod live;
mod people;
mod run;
mod write;

pub use people::Person;
pub(crate) use write::number as write_number;

use cauce_features::time::Timestamp;

pub(crate) const DAY_MS: i64 = 86_400_000;

/// The settings of a made-up bank; a person is made from the seed and their number alone.
#[derive(Debug, Clone)]
pub struct Bank {
    pub seed: u64,
    /// The first instant of its history, and the one behind its last.
    pub start: Timestamp,
    pub end: Timestamp,
}

/// Something that happened, with all that a line of a file or a record of a topic says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub time: Timestamp,
    /// When the bank heard of it: not before `time`.
    pub arrived_at: Timestamp,
    pub person: u64,
    /// Its place among all that happened, by time, from 1 on; it is its id. Such ids take two or three bytes in a stored history.
    pub number: u64,
    pub content: Content,
}

/// What happened. Money is in cents.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Transaction { amount: i64, is_income: bool, channel: &'static str, counterparty: Counterparty },
    Payment { amount: i64, days_past_due: u32 },
    Statement { balance: i64, limit: i64, minimum_due: i64 },
    Application { form: Form, propensity: f64, defaulted: bool },
}

/// Whom money comes from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counterparty {
    /// Nobody knows: cash.
    None,
    Employer,
    OwnAccount,
    Merchant(u64),
}

/// What an application says; what the shorter form does not ask for is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    pub monthly_income: i64,
    pub amount: i64,
    pub age: u8,
    pub credit_score: Option<u16>,
    pub details: Option<Details>,
}

/// The fields of the longer form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Details {
    pub term_months: u8,
    pub purpose: &'static str,
    pub employment: &'static str,
}

impl Bank {
    /// Its whole days; what is left of the last one is not simulated.
    pub fn days(&self) -> u32 {
        u32::try_from((self.end.millis() - self.start.millis()) / DAY_MS).unwrap_or(0)
    }

    pub fn person(&self, number: u64) -> Person {
        Person::new(self, number)
    }
}

impl Content {
    pub fn is_application(&self) -> bool {
        matches!(self, Self::Application { .. })
    }
}

#[cfg(test)]
mod tests;
