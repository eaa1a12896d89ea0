//! ONNX Runtime's shared library, found once and loaded before anything else touches it.
//!
//! The library is loaded at run time (`load-dynamic`), because nothing may be downloaded by a build script and because a
//! user may want another build of it. `ort` panics when the library is missing on its lazy path, so it is opened here
//! first, by the path in `ORT_DYLIB_PATH`, and a failure is a message that says what to do. ONNX Runtime allows one
//! library and one environment a process; hence the one global of this crate.

use std::path::PathBuf;
use std::sync::OnceLock;

use ort::environment::Environment;

/// The variable that names the library; `.cargo/config.toml`, the Makefile and the container image set it.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

static ENVIRONMENT: OnceLock<Result<Environment, RuntimeError>> = OnceLock::new();

/// Why ONNX Runtime cannot be used. Nothing else works without it, so it ends the start.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    #[error(
        "`{LIBRARY_VARIABLE}` is not set: it names ONNX Runtime's shared library; run `make runtime`, then start with \
         `make run` or `cargo run`, which set it to .runtime/onnxruntime/lib/libonnxruntime.so"
    )]
    NotNamed,
    #[error(
        "`{LIBRARY_VARIABLE}` names `{path}`, which does not exist: run `make runtime`, or name a libonnxruntime.so of version 1.17 or newer"
    )]
    Missing { path: PathBuf },
    #[error(
        "`{path}` cannot serve as ONNX Runtime: {cause}; run `make runtime`, or name one of version 1.17 or newer in `{LIBRARY_VARIABLE}`"
    )]
    Unusable { path: PathBuf, cause: String },
}

/// Which build of ONNX Runtime computes, in its own words.
pub fn build() -> Result<String, RuntimeError> {
    environment()?;
    Ok(ort::info().to_owned())
}

/// The process's ONNX Runtime, loaded by the first call.
pub(crate) fn environment() -> Result<Environment, RuntimeError> {
    ENVIRONMENT.get_or_init(load).clone()
}

fn load() -> Result<Environment, RuntimeError> {
    let named = PathBuf::from(std::env::var_os(LIBRARY_VARIABLE).ok_or(RuntimeError::NotNamed)?);
    // Absolute: `ort` would look for a relative path beside the executable.
    let path = named.canonicalize().map_err(|_| RuntimeError::Missing { path: named })?;
    let unusable = |cause: String| RuntimeError::Unusable { path: path.clone(), cause };
    let builder = ort::environment::init_from(&path).map_err(|error| unusable(error.to_string()))?;
    builder.with_name("cauce").with_telemetry(false).build().map_err(|error| unusable(error.to_string()))
}
