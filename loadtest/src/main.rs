//! The command `cauce-loadtest`.

use std::process::ExitCode;

use cauce_loadtest::simulate::command::Simulate;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cauce-loadtest", version, about = "Open-loop load, and a made-up bank")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Simulate(Simulate),
}

fn main() -> ExitCode {
    let Cli { command: Command::Simulate(simulate) } = Cli::parse();
    match simulate.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
