//! The rules for a single file. Each returns what it objects to as `path:line: complaint`.

use super::source::{Source, What};

const MOST_LINES_IN_A_FILE: usize = 400;
const MOST_LINES_IN_A_FUNCTION: usize = 80;
const MOST_COLUMNS_OF_A_COMMENT: usize = 100;

/// A file can be read in one sitting.
pub(super) fn files_are_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    (lines > MOST_LINES_IN_A_FILE)
        .then(|| format!("{}: {lines} lines, at most {MOST_LINES_IN_A_FILE}", source.path))
        .into_iter()
        .collect()
}

/// A function fits on a screen.
pub(super) fn functions_are_short(source: &Source) -> Vec<String> {
    let long = source.functions.iter().filter(|function| function.lines > MOST_LINES_IN_A_FUNCTION);
    long.map(|function| {
        let (path, name, line, lines) =
            (&source.path, &function.name, function.line, function.lines);
        format!("{path}:{line}: `{name}` has {lines} lines, at most {MOST_LINES_IN_A_FUNCTION}")
    })
    .collect()
}

/// A comment fits beside another file.
pub(super) fn comments_are_narrow(source: &Source) -> Vec<String> {
    let comments = (1..).zip(source.text.lines()).filter(|(_, l)| l.trim_start().starts_with("//"));
    let wide = comments.filter_map(|(number, line)| {
        let columns = line.chars().count();
        (columns > MOST_COLUMNS_OF_A_COMMENT).then_some((number, columns))
    });
    let most = MOST_COLUMNS_OF_A_COMMENT;
    wide.map(|(line, columns)| {
        format!("{}:{line}: a comment of {columns} columns, at most {most}", source.path)
    })
    .collect()
}

/// A file begins by saying what it is for.
pub(super) fn modules_are_documented(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    (!first.starts_with("//! "))
        .then(|| format!("{}:1: does not begin with `//!`", source.path))
        .into_iter()
        .collect()
}

/// No panic instead of an error. Clippy knows the types; this rule has no `#[allow]`, and takes an
/// `.expect("…")` for the one of `Option` and `Result`.
pub(super) fn nothing_is_unwrapped(source: &Source) -> Vec<String> {
    calls(source, "return an error instead", |name, arguments| match name {
        "unwrap" => arguments.is_empty(),
        "expect" => arguments.starts_with(['"', '&']),
        _ => false,
    })
}

/// What is committed is finished.
pub(super) fn nothing_is_left_to_do(path: &str, text: &str) -> Vec<String> {
    // In two halves, so that this file passes too.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimplemented", "!"),
        concat!("to", "do!"),
    ];
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for found in words.iter().filter(|found| contains_word(line, found)) {
            findings.push(format!("{path}:{}: `{found}`", number + 1));
        }
    }
    findings
}

fn contains_word(line: &str, wanted: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(wanted).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + wanted.len()..]);
        let goes_on = !wanted.ends_with('!') && after.starts_with(is_part);
        !before.ends_with(is_part) && !goes_on
    })
}

pub(super) fn is_shipped(source: &Source) -> bool {
    source.package.is_some()
}

pub(super) fn calls(
    source: &Source,
    complaint: &str,
    bad: impl Fn(&str, &str) -> bool,
) -> Vec<String> {
    if !is_shipped(source) {
        return Vec::new();
    }
    let named = source.shipped().filter_map(|(line, what)| match what {
        What::Call(name, arguments) if bad(name, arguments) => Some((line, name)),
        _ => None,
    });
    named.map(|(line, name)| format!("{}:{line}: `.{name}()`: {complaint}", source.path)).collect()
}
