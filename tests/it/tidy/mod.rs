//! Keeps the house in order: reads the tree as text and tokens and fails with a list.
//!
//! What rustc and clippy can check is left to them, except where a rule here is stricter (no
//! `#[allow]` silences it). `samples` breaks every rule once, to see that it notices.

mod circles;
mod crates;
mod evidence;
mod floors;
mod items;
mod reserved;
mod rules;
mod samples;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

type Rule = fn(&Source) -> Vec<String>;

const RULES: [Rule; 14] = [
    crates::crates_stay_pure,
    floors::imports_go_down,
    floors::rooms_have_floors,
    reserved::one_place_changes_files,
    reserved::only_danger_is_dangerous,
    reserved::only_programs_choose_an_allocator,
    reserved::only_ui_prints,
    reserved::pure_rooms_are_pure,
    reserved::reserved_paths_stay_home,
    rules::comments_are_narrow,
    rules::files_are_short,
    rules::functions_are_short,
    rules::modules_are_documented,
    rules::nothing_is_unwrapped,
];

/// Directories whose files are looked at, besides the pages at the top.
const PLACES: [&str; 8] = [".ci", "crates", "docs", "fuzz", "scripts", "src", "tests", "tools"];

#[test]
fn every_file_keeps_the_rules() {
    let files = files();
    let mut findings = complaints(&mut sources(&files));
    for (path, text) in &files {
        findings.extend(rules::nothing_is_left_to_do(path, text));
    }
    report(&findings);
}

#[test]
fn crates_depend_on_what_the_page_shows() {
    let files = files();
    let (path, page) = files.iter().find(|(path, _)| path == "docs/ARCHITECTURE.md").unwrap();
    let mut findings = crates::table_agrees(path, page);
    findings.extend(crates::manifests_agree(&files));
    report(&findings);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut sources = sources(&files());
    mark_tests(&mut sources);
    report(&circles::circles(&sources));
}

#[test]
fn every_defence_names_a_test_that_exists() {
    let files = files();
    let (_, page) = files.iter().find(|(path, _)| path == "docs/SECURITY.md").unwrap();
    let sources = sources(&files);
    let mut findings = evidence::tests_exist(page, &sources);
    findings.extend(evidence::rows_are_shown(page, &sources));
    report(&findings);
}

#[test]
fn every_script_can_be_run() {
    let mut findings = Vec::new();
    for (path, text) in files() {
        if path.starts_with("scripts/") || path.starts_with(".ci/") {
            findings.extend(script_faults(&path, &text, &root().join(&path)));
        }
    }
    report(&findings);
}

/// A file without an extension, or with `#!`, is a script: it needs both `#!` and the run bit.
fn script_faults(path: &str, text: &str, file: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;

    let starts = text.starts_with("#!");
    let mut findings = Vec::new();
    if !starts && Path::new(path).extension().is_none() {
        findings.push(format!("{path}:1: does not begin with `#!`"));
    }
    let mode = fs::metadata(file).unwrap().permissions().mode();
    if starts && mode & 0o111 != 0o111 {
        findings.push(format!("{path}: cannot be run (mode {:o})", mode & 0o777));
    }
    findings
}

/// Runs every rule for a single file, with test modules recognised across files.
fn complaints(sources: &mut [Source]) -> Vec<String> {
    mark_tests(sources);
    sources.iter().flat_map(|source| RULES.iter().flat_map(move |rule| rule(source))).collect()
}

fn mark_tests(sources: &mut [Source]) {
    let test_modules: Vec<_> = sources
        .iter()
        .flat_map(|source| {
            source.test_modules.iter().map(|module| (source.package.clone(), module.clone()))
        })
        .collect();
    for source in sources.iter_mut().filter(|source| source.room() != Some("bin")) {
        let is_test = |(package, module): &(Option<String>, Vec<String>)| {
            source.package == *package && source.module.starts_with(module)
        };
        if test_modules.iter().any(is_test) {
            source.mark_as_test();
        }
    }
}

fn sources(files: &[(String, String)]) -> Vec<Source> {
    let rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
    rust.map(|(path, text)| Source::parse(path, text)).collect()
}

/// Every text file the rules are for, by its path relative to the root, in order; and the manifest.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for place in PLACES {
        collect(&root().join(place), &mut found);
    }
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    found.extend(top.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    found.push(root().join("Cargo.toml"));
    found.sort();
    let readable = found.into_iter().filter_map(|file| {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        Some((path, fs::read_to_string(&file).ok()?))
    });
    readable.collect()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn report(findings: &[String]) {
    assert!(findings.is_empty(), "{} untidy places:\n{}\n", findings.len(), findings.join("\n"));
}
