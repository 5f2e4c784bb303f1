//! See `platform_gate::fuzz::docker_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| platform_gate::fuzz::docker_config(bytes));
