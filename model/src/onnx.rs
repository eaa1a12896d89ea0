//! Inference with ONNX Runtime: one session a worker thread, nothing allocated for a single row but what `ort` forces.
//!
//! `Session::run` takes `&mut self` on purpose, so a session is owned, never shared behind a lock. It runs on the caller's
//! thread (one intra-op thread, no spinning): the row's cost is far below that of waking another thread. The input of a single row
//! lives in a tensor made once. Batches of any size borrow the caller's rows; ONNX Runtime allocates the
//! output; memory patterns are off, because they would keep a plan for every batch size seen.
//! Prepacked weights are not shared between the sessions: tree ensembles have none.
//!
//! A run that takes too long is ended from another thread by a [`Stopper`]: between two operators of the graph, since a running one
//! cannot be interrupted. `ort` lets only options without preallocated outputs be shared between threads, hence none are.
//!
//! Every output is checked on the way out: what is no probability never becomes a score.

use std::sync::Arc;

use ort::memory::Allocator;
use ort::session::{RunOptions, Session};
use ort::value::{Tensor, TensorRef};

use crate::bundle::Bundle;
use crate::runtime::{self, RuntimeError};

pub(crate) const INPUT: &str = "features";
pub(crate) const OUTPUT: &str = "probabilities";
/// `[no default, default]`.
pub(crate) const CLASSES: usize = 2;

/// A bundle's model, ready to run on one thread.
pub struct OnnxModel {
    session: Session,
    width: usize,
    row: Tensor<f32>,
    /// Shared with whoever may stop a run.
    options: Arc<RunOptions>,
    /// The answer to the last call.
    probabilities: Vec<f32>,
}

/// Ends the run of a model from another thread. What is stopped stays so until [`OnnxModel::resume`].
#[derive(Clone)]
pub struct Stopper(Arc<RunOptions>);

impl Stopper {
    /// Has the run under way, or else the next one, fail at its next operator.
    pub fn stop(&self) {
        // It sets a flag; there is no case in which that fails.
        let _ = self.0.terminate();
    }
}

/// Why there is no probability: the next rung of the ladder answers.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{given} values are no rows of {width} features")]
    Shape { given: usize, width: usize },
    #[error(
        "the model's output for row {row} is no probability: [no default, default] must lie within [0, 1] and sum to 1"
    )]
    NotAProbability { row: usize },
    #[error("the model's output has {given} values, {expected} expected")]
    Output { given: usize, expected: usize },
    #[error("onnx runtime: {0}")]
    Inference(#[from] ort::Error),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl OnnxModel {
    /// A session of its own over the bundle's model.
    pub fn new(bundle: &Bundle) -> Result<OnnxModel, ModelError> {
        OnnxModel::from_bytes(bundle.model_bytes(), bundle.width())
    }

    /// Only for files that the guard has let through.
    pub(crate) fn from_bytes(model: &[u8], width: usize) -> Result<OnnxModel, ModelError> {
        let session = Session::builder(&runtime::environment()?)?
            .with_intra_threads(1)
            .map_err(ort::Error::from)?
            .with_intra_op_spinning(false)
            .map_err(ort::Error::from)?
            .with_memory_pattern(false)
            .map_err(ort::Error::from)?
            .commit_from_memory(model)?;
        Ok(OnnxModel {
            session,
            width,
            row: Tensor::<f32>::new(&Allocator::default(), [1, width])?,
            options: Arc::new(RunOptions::new()?),
            probabilities: Vec::new(),
        })
    }

    /// What ends its runs.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.options.clone())
    }

    /// Makes it run again after it was stopped.
    pub fn resume(&self) -> Result<(), ModelError> {
        Ok(self.options.unterminate()?)
    }

    /// The probability of default of each row; `rows` holds whole vectors one after the other.
    pub fn probabilities(&mut self, rows: &[f32]) -> Result<&[f32], ModelError> {
        if !rows.len().is_multiple_of(self.width) {
            return Err(ModelError::Shape { given: rows.len(), width: self.width });
        }
        self.probabilities.clear();
        match rows.len() / self.width {
            0 => {}
            1 => {
                self.row.extract_tensor_mut().1.copy_from_slice(rows);
                let outputs = self.session.run_with_options(ort::inputs![&self.row], &*self.options)?;
                collect(outputs[0].try_extract_tensor::<f32>()?.1, 1, &mut self.probabilities)?;
            }
            count => {
                let rows = TensorRef::from_array_view(([count, self.width], rows))?;
                let outputs = self.session.run_with_options(ort::inputs![rows], &*self.options)?;
                collect(outputs[0].try_extract_tensor::<f32>()?.1, count, &mut self.probabilities)?;
            }
        }
        Ok(&self.probabilities)
    }
}

/// Takes the second class of every row, if both together are a distribution.
fn collect(output: &[f32], count: usize, probabilities: &mut Vec<f32>) -> Result<(), ModelError> {
    if output.len() != count * CLASSES {
        return Err(ModelError::Output { given: output.len(), expected: count * CLASSES });
    }
    for (row, pair) in output.chunks_exact(CLASSES).enumerate() {
        let [rest, default] = [pair[0], pair[1]];
        // Written so that NaN fails.
        let sound = (0.0..=1.0).contains(&default) && (rest + default - 1.0).abs() <= 1e-5;
        if !sound {
            return Err(ModelError::NotAProbability { row });
        }
        probabilities.push(default);
    }
    Ok(())
}
