//! The command `cauce-loadtest`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cauce_loadtest::cli::run()
}
