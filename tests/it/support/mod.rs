//! A server's directory, server processes, client runs: everything in temporary places, on ports
//! the system picks.

pub mod disk;
pub mod faults;
pub mod held;
pub mod middle;
pub mod pair;
pub mod peer;
pub mod person;
pub mod proxy;
pub mod service;
pub mod several;
pub mod site;
pub mod stage;
pub mod tally;
pub mod trees;

use std::path::Path;
use std::process::Output;

pub use pair::Pair;
pub use person::Person;
pub use proxy::Proxy;
pub use service::Service;
pub use site::{Server, Site};
pub use stage::Stage;
pub use tally::Tally;

/// Bytes that no compression or repetition helps with, the same for the same seed.
pub fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What a program wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a program wrote to stdout.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The last JSON object a program wrote to stdout.
pub fn result(output: &Output) -> serde_json::Value {
    let text = stdout(output);
    let last = text.lines().last().unwrap_or_else(|| panic!("no output: {}", stderr(output)));
    serde_json::from_str(last).unwrap()
}

/// Asserts success and returns the output.
pub fn ok(output: Output) -> Output {
    assert!(output.status.success(), "{}\n{}", stdout(&output), stderr(&output));
    output
}

/// Asserts an exit code and a text in stderr.
pub fn fails(output: Output, code: i32, text: &str) {
    let words = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{words}");
    assert!(words.contains(text), "expected '{text}' in: {words}");
    assert!(words.starts_with("error: ") || words.contains("\nerror: "), "{words}");
}

/// Names in a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
