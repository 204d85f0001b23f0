#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| uag_fuzz::lookup(data));
