//! See `platform_gate::fuzz::reference`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| platform_gate::fuzz::reference(bytes));
