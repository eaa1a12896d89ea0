//! A session driven through ONNX Runtime's C API and nothing else: the yardstick.
//!
//! Its options are those of `OnnxModel`; its input and output tensors are made once, over buffers of its own.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

use ort::sys::{
    ONNXTensorElementDataType, OrtAllocatorType, OrtLoggingLevel, OrtMemType, OrtMemoryInfo, OrtSession, OrtStatusPtr,
    OrtValue,
};

/// Invariant: all pointers come from ONNX Runtime and are never released (the bench ends with the process); the tensors
/// point into `row` and `output`, which are boxed slices and so neither move nor grow.
pub(crate) struct Session {
    session: *mut OrtSession,
    row_value: *mut OrtValue,
    output_value: *mut OrtValue,
    row: Box<[f32]>,
    output: Box<[f32]>,
}

impl Session {
    /// `OnnxModel` has loaded the library before.
    pub(crate) fn new(model: &[u8], width: usize) -> Session {
        let api = ort::api();
        let (mut row, mut output) = (vec![0.0; width].into_boxed_slice(), vec![0.0; 2].into_boxed_slice());
        let (mut environment, mut options, mut session, mut memory) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: every function gets what its signature asks for: out pointers to locals of the right type, strings that
        // end with NUL, handles that a successful call before has filled (`check` panics otherwise), and a model whose
        // bytes are read before the call returns.
        unsafe {
            let level = OrtLoggingLevel::ORT_LOGGING_LEVEL_ERROR;
            check((api.CreateEnv)(level, c"raw".as_ptr(), &mut environment));
            check((api.CreateSessionOptions)(&mut options));
            check((api.SetIntraOpNumThreads)(options, 1));
            check((api.DisableMemPattern)(options));
            let spinning = c"session.intra_op.allow_spinning";
            check((api.AddSessionConfigEntry)(options, spinning.as_ptr(), c"0".as_ptr()));
            check((api.CreateSessionFromArray)(environment, model.as_ptr().cast(), model.len(), options, &mut session));
            let (kind, place) = (OrtAllocatorType::OrtArenaAllocator, OrtMemType::OrtMemTypeDefault);
            check((api.CreateCpuMemoryInfo)(kind, place, &mut memory));
        }
        let (row_value, output_value) = (tensor(memory, &mut row), tensor(memory, &mut output));
        Session { session, row_value, output_value, row, output }
    }

    pub(crate) fn run(&mut self, row: &[f32]) -> f32 {
        self.row.copy_from_slice(row);
        let (inputs, outputs) = ([c"features".as_ptr()], [c"probabilities".as_ptr()]);
        let (row, mut output) = ([self.row_value.cast_const()], [self.output_value]);
        // SAFETY: session and values are live by the invariant of `Session`; names and values are arrays of the one
        // element that their lengths say; the output tensor has the shape that the model gives for one row.
        unsafe {
            let run = ort::api().Run;
            let (inputs, outputs) = (inputs.as_ptr(), outputs.as_ptr());
            check(run(self.session, ptr::null(), inputs, row.as_ptr(), 1, outputs, 1, output.as_mut_ptr()));
        }
        self.output[1]
    }
}

/// A tensor of one row over a buffer.
fn tensor(memory: *const OrtMemoryInfo, buffer: &mut [f32]) -> *mut OrtValue {
    let shape = [1, buffer.len() as i64];
    let mut value = ptr::null_mut();
    // SAFETY: the length is in bytes and that of the buffer, which outlives the tensor by the invariant of `Session`; the
    // shape has two dimensions whose product is the buffer's length.
    unsafe {
        check((ort::api().CreateTensorWithDataAsOrtValue)(
            memory,
            buffer.as_mut_ptr().cast(),
            size_of_val(buffer),
            shape.as_ptr(),
            shape.len(),
            ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            &mut value,
        ));
    }
    value
}

fn check(status: OrtStatusPtr) {
    if !status.0.is_null() {
        // SAFETY: a status that is not null is an error, whose message ends with NUL and lives as long as the status.
        let message = unsafe { CStr::from_ptr((ort::api().GetErrorMessage)(status.0)) };
        panic!("onnx runtime: {}", message.to_string_lossy());
    }
}
