//! `cauce inspect`: what log and state hold, as they are.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::plan_served;
use crate::config::Config;
use crate::http::people::records_json;
use crate::log::ReadLog;
use crate::log::embedded::{ReadOnly, SegmentFacts};
use crate::store::{Bounds, Embedded, Store};

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Inspect {
    what: What,
    /// The person's id, to inspect a person.
    #[arg(required_if_eq("what", "person"))]
    id: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// The segments of the log.
    Log,
    /// The newest checkpoint and how much it holds; the service must not be running.
    State,
    /// What the log holds of a person, as JSON, oldest first.
    Person,
}

impl Inspect {
    /// Looks, and prints.
    pub(crate) fn run(self, config: &Config) -> Result<ExitCode, Box<dyn Error>> {
        let log = ReadOnly::open(&config.log.directory, 0)?;
        match self.what {
            What::Log => print_log(&log),
            What::State => print_state(&log, config)?,
            What::Person => {
                let records = log.all_of_person(&self.id.unwrap_or_default())?;
                if records.is_empty() {
                    return Err("the log holds nothing of this person".into());
                }
                println!("{:#}", records_json(&records));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_log(log: &ReadOnly) {
    println!("{:<24} {:>12} {:>12} {:>10} {:>14}  arrived", "segment", "first", "end", "records", "bytes");
    let segments = log.segments();
    for SegmentFacts { name, range, bytes, arrived } in &segments {
        let arrived = arrived.map(|(from, to)| format!("{from} to {to}")).unwrap_or_default();
        let records = range.end.0 - range.start.0;
        println!("{name:<24} {:>12} {:>12} {records:>10} {bytes:>14}  {arrived}", range.start, range.end);
    }
    let (range, bytes) = (log.range(), segments.iter().map(|segment| segment.bytes).sum::<u64>());
    println!("{} segments, positions {} to {}, {bytes} bytes", segments.len(), range.start, range.end);
    log.faults.iter().for_each(|fault| println!("NOT WHOLE: {fault}"));
}

fn print_state(log: &ReadOnly, config: &Config) -> Result<(), Box<dyn Error>> {
    let plan = plan_served(config)?;
    let state = Embedded::open_existing(&config.store.directory)?;
    let store = Store::open(Arc::new(state), Bounds::from(&config.store), &plan)?;
    match store.checkpointed()? {
        None => println!("no checkpoint was written yet"),
        Some(checkpoint) => {
            let behind = log.range().end.0.saturating_sub(checkpoint.reached.log.0);
            println!("checkpoint   position {}, written {}", checkpoint.reached.log, checkpoint.at);
            println!("behind it    {behind} records of the log");
        }
    }
    println!("people       {}", store.people());
    println!("disk         {} bytes", store.disk_bytes());
    Ok(())
}
