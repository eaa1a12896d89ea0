//! cauce-model: ONNX inference and what a score means.
//!
//! A [`Bundle`] is the unit of deployment, loaded whole or not at all (M1). Each worker thread makes its own
//! [`OnnxModel`] from it; when that fails for a row, the bundle's [`Scorecard`] answers, which cannot. Either way a
//! probability of default becomes a [`Score`] through the bundle's [`Policy`].
//!
//! The crate knows no HTTP and reads no clock. Reading order: [`bundle`] (what is loaded, and what is checked before it
//! may serve) → [`onnx`] (inference) → [`scorecard`] → [`score`] → [`reason`]; `guard` is what stands between a model
//! file and ONNX Runtime.

pub mod bundle;
mod guard;
pub mod onnx;
pub mod reason;
pub mod reference;
pub mod runtime;
pub mod score;
pub mod scorecard;

pub use bundle::{Bundle, BundleError, Limits};
pub use onnx::{ModelError, OnnxModel};
pub use reason::{Reason, Reasons};
pub use reference::Reference;
pub use runtime::RuntimeError;
pub use score::{Decision, Policy, Score};
pub use scorecard::Scorecard;
