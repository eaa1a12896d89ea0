//! cauce-model: ONNX inference and what a score means.
