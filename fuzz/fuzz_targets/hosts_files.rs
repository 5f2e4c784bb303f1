//! See `platform_gate::fuzz::hosts_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| platform_gate::fuzz::hosts_files(bytes));
