#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lesionlens_fuzz::onnx(bytes));
