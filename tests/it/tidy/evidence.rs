//! `docs/SECURITY.md` names a test for every defence: each must exist.

use super::source::Source;

/// Names in the last column of the table of attacks that no function has.
pub(super) fn tests_exist(page: &str, sources: &[Source]) -> Vec<String> {
    let functions: Vec<_> = sources.iter().flat_map(|source| &source.functions).collect();
    let mut findings = Vec::new();
    for name in named(page) {
        if !functions.iter().any(|function| function.name == name) {
            findings.push(format!("docs/SECURITY.md: there is no test `{name}`"));
        }
    }
    findings
}

/// Tests named after a row that the page does not show.
pub(super) fn rows_are_shown(page: &str, sources: &[Source]) -> Vec<String> {
    let shown: Vec<_> = named(page).collect();
    let functions = sources.iter().flat_map(|source| &source.functions);
    let rows = functions.filter(|function| function.name.starts_with("row_"));
    rows.filter(|function| !shown.contains(&function.name.as_str()))
        .map(|function| format!("docs/SECURITY.md does not show `{}`", function.name))
        .collect()
}

fn named(page: &str) -> impl Iterator<Item = &str> {
    let table = page.lines().skip_while(|line| !line.starts_with("| row |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| {
        let last = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        last.split('`').skip(1).step_by(2)
    })
}
