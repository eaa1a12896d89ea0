//! The model crate from outside: real bundles, real ONNX files, the real runtime. One binary, a module per subject.

mod bundles;
mod hostile;
mod inference;
mod support;
