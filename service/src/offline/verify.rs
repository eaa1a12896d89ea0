//! `cauce verify`: every checksum of the log, every history of the state, and whether the two go together.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use super::plan_served;
use crate::config::Config;
use crate::log::embedded::ReadOnly;
use crate::log::{Position, ReadLog};
use crate::store::{Bounds, Embedded, Store};

pub(crate) struct Verify;

impl Verify {
    /// Reads everything; prints what is whole and what is not.
    pub(crate) fn run(config: &Config) -> Result<ExitCode, Box<dyn Error>> {
        let log = ReadOnly::open(&config.log.directory, u64::MAX)?;
        let mut faults: Vec<String> = log.faults.iter().map(|fault| format!("log: {fault}")).collect();
        for name in log.damaged_indexes()? {
            faults.push(format!("log: `{name}` is damaged; it is made anew if you remove it"));
        }
        let range = log.range();
        println!("log: {} segments, positions {} to {}", log.segments().len(), range.start, range.end);
        match state(config) {
            Ok((people, covered)) => {
                println!("state: {people} people, checkpoint at position {covered}");
                if covered > range.end || covered < range.start {
                    faults.push(format!("state: it stands for records up to {covered}, which the log does not hold"));
                }
            }
            Err(error) => faults.push(format!("state: {error}")),
        }
        if faults.is_empty() {
            println!("everything is whole");
            return Ok(ExitCode::SUCCESS);
        }
        faults.iter().for_each(|fault| println!("NOT WHOLE: {fault}"));
        Ok(ExitCode::FAILURE)
    }
}

/// Reads every history: how many, and the checkpoint's position.
fn state(config: &Config) -> Result<(usize, Position), Box<dyn Error>> {
    let plan = plan_served(config)?;
    let state = Embedded::open_existing(&config.store.directory)?;
    let bounds = Bounds { memory_bytes: usize::MAX, ..Bounds::from(&config.store) };
    let store = Store::open(Arc::new(state), bounds, &plan)?;
    store.load(&plan)?;
    Ok((store.people(), store.checkpointed()?.map_or(Position(0), |checkpoint| checkpoint.reached.log)))
}
