//! `docs/PROTOCOL.md` and `tests/vectors` against the code: what others implement is what we speak.

mod cddl;
mod cuts;
mod samples;
mod stranger;
mod tables;
mod vectors;

use std::path::{Path, PathBuf};

fn document() -> String {
    std::fs::read_to_string(root().join("docs/PROTOCOL.md")).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn vectors() -> PathBuf {
    root().join("tests/vectors")
}

/// The first block of this language in the document.
fn block(document: &str, language: &str) -> String {
    let begin = format!("\n```{language}\n");
    let rest = document.split_once(&begin).unwrap_or_else(|| panic!("no {language} block")).1;
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// The rows of the table whose header begins with these cells.
fn table(document: &str, header: &[&str]) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = document.lines();
    let found = lines.any(|line| line.starts_with('|') && cells(line).starts_with(&owned(header)));
    assert!(found, "no table {header:?}");
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn owned(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}
