//! The engine against a brute-force oracle: one binary, a module per subject.
//!
//! The oracle is written from the meaning of a read alone (filter, window, sort, aggregate) over a plain list of events,
//! and shares no arithmetic, calendar or expression code with the engine: what both say is what the specification means
//! (F1, F2). Specifications are data here, printed as TOML and parsed by the crate, so that the parser is under test too.

mod any; // any specification
mod busy; // people of thousands of events, where the structure is another
mod calendar; // civil dates by `jiff`
mod digests; // one digest for all copies of one set
mod formula; // expressions as data: printed, and evaluated by a tree walk
mod histories; // what happens to generated people, and when they are looked at
mod model; // a specification as data
mod oracle; // the truth, slowly
mod past; // evicted and coarsened events
mod reads; // what a read says
mod sets; // what a timeline is: a set
mod specifications; // hand-written ones
mod trial; // the engine beside the oracle
