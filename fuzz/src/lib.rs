//! Fuzz targets as plain functions: each takes any bytes and panics when a promise breaks.
//!
//! Under cargo-fuzz libFuzzer calls them; without it their programs read files, and `tests/seeds.rs` gives them every
//! committed seed on each change.
#![forbid(unsafe_code)]

pub mod certificate;
pub mod config;
pub mod frame;
pub mod message;
pub mod plan;
pub mod record;
pub mod rest_body;

use std::process::ExitCode;

/// What every target is.
pub type Target = fn(&[u8]);

/// All targets, by the name of their program and their folder of seeds.
pub const TARGETS: [(&str, Target); 7] = [
    ("message", message::target),
    ("record", record::target),
    ("frame", frame::target),
    ("rest_body", rest_body::target),
    ("config", config::target),
    ("certificate", certificate::target),
    ("plan", plan::target),
];

/// Gives the files named on the command line to a target.
#[must_use]
pub fn read_files(target: Target) -> ExitCode {
    for file in std::env::args_os().skip(1) {
        let name = file.to_string_lossy().into_owned();
        match std::fs::read(&file) {
            Ok(bytes) => target(&bytes),
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        }
        println!("{name}: ok");
    }
    ExitCode::SUCCESS
}

/// The program of a target: libFuzzer's under cargo-fuzz, else one that reads files.
#[macro_export]
macro_rules! fuzz {
    ($target:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::$target::target(bytes));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::read_files($crate::$target::target)
        }
    };
}
