//! The `cauce` binary; everything that it does is in the library beside it.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A person's history is a small block that is reached at random and grows in place: measured, this allocator applies an event in
/// half the time of the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match cauce_service::cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
