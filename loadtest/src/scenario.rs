//! A scenario: what is offered to whom, at which times, as a TOML file says it.
//!
//! ```toml
//! name = "mixed"
//! target = "http://127.0.0.1:8080"
//! seed = 7
//! connections = 64
//! arrivals = "poisson"
//!
//! [load]
//! shape = "steady"
//! rate = 2000
//! duration = "30s"
//! warm_up = "5s"
//!
//! [people]
//! count = 10000
//! zipf = 1.0
//!
//! [[traffic]]
//! kind = "score"
//! weight = 8
//! repeated = 0.2
//!
//! [[traffic]]
//! kind = "events"
//! weight = 2
//! size = 20
//! late = 0.05
//! ```
