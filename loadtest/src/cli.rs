//! The command line. A run ends with 0; with 1 if a stated limit was missed; with 2 if something given is wrong, the target cannot be
//! reached, or the generator could not drive what was asked of it.

mod measure;
mod run;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::scenario::BUILT_IN;
use crate::simulate::command::Simulate;
use run::Run;

#[derive(Debug, Parser)]
#[command(name = "cauce-loadtest", version, about = "Offers load to a scorer and tells honestly what came of it")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<Run>),
    /// List the scenarios that come with the command, or print one: a start for your own.
    Scenarios {
        /// The one to print.
        name: Option<String>,
    },
    Simulate(Box<Simulate>),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    /// A limit was missed.
    Missed,
    /// The figures would be the generator's own.
    NotDriven,
}

/// Does what the command line asks.
pub fn run() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(run) => run.run(),
        Command::Scenarios { name } => scenarios(name.as_deref()),
        Command::Simulate(simulate) => simulate.run().map(|()| Ended::Well),
    };
    match ended {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Missed) => ExitCode::from(1),
        Ok(Ended::NotDriven) => ExitCode::from(2),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn scenarios(name: Option<&str>) -> Result<Ended, Box<dyn Error>> {
    match name {
        Some(name) => print!("{}", built_in(name)?),
        None => BUILT_IN.iter().for_each(|(name, text)| println!("{name:<14} {}", about(text))),
    }
    Ok(Ended::Well)
}

/// The text of a scenario that comes with the command.
fn built_in(name: &str) -> Result<&'static str, String> {
    let found = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
    found.map(|(_, text)| *text).ok_or_else(|| {
        let offer = cauce_features::spec::source::meant(name, BUILT_IN.iter().map(|(name, _)| *name));
        format!("there is no scenario `{name}`{offer}")
    })
}

/// A part of a whole.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("a share is a number from 0 to 1, as `0.05`, not `{text}`"))
}

/// The first sentence of its comment.
fn about(text: &str) -> String {
    let comment = text.lines().map_while(|line| line.strip_prefix("# ")).collect::<Vec<_>>().join(" ");
    comment.split_inclusive(". ").next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_simulation_that_is_asked_for_wrong_is_told_what_would_be_right() {
        let people = "--people=8388609";
        for (arguments, message) in [
            (vec![], "<--out <OUT>|--kafka <BROKERS>>"),
            (vec!["--out", "d", "--kafka", "b:1"], "cannot be used with"),
            (vec!["--out", "d", people], "is not in 1..=8388608"),
            (vec!["--out", "-", "--rate", "1e-20"], "a rate is a number of records a second from 0.001"),
            (vec!["--out", "d", "--late-share", "2"], "a share is a number from 0 to 1, as `0.05`, not `2`"),
            (vec!["--out", "d", "--to", "2025-10-01"], "`--to` is not a day or more behind `--from`"),
            (vec!["--out", "d", "--to", "2199-01-01"], "there are 63279 days: a history has at most 36500"),
        ] {
            let parsed = Cli::try_parse_from([&["cauce-loadtest", "simulate"], arguments.as_slice()].concat());
            let said = match parsed.map(|cli| cli.command) {
                Ok(Command::Simulate(simulate)) => simulate.run().unwrap_err().to_string(),
                Ok(_) => panic!("{arguments:?}"),
                Err(error) => error.to_string(),
            };
            assert!(said.contains(message), "{arguments:?}: {said}");
        }
    }

    #[test]
    fn every_scenario_says_what_it_is() {
        for (name, text) in BUILT_IN {
            assert!(about(text).len() > 20, "{name}");
            assert!(!about(text).contains('#'), "{name}");
        }
        assert_eq!(built_in("mixd").unwrap_err(), "there is no scenario `mixd`; did you mean `mixed`?");
    }
}
