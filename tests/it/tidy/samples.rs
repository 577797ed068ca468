//! Breaks every rule on purpose, beside a sample that keeps it.

use super::source::Source;
use super::{complaints, floors, rules, script_faults};

/// What the rules say about one file below `src`; the `//!` line is added.
fn check(path: &str, code: &str) -> Vec<String> {
    complaints(&mut [Source::parse(path, &format!("//! Sample.\n{code}"))])
}

/// One complaint, at `line` of `code`, with `words` in it.
#[track_caller]
fn objects(path: &str, code: &str, line: usize, words: &str) {
    let found = check(path, code);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(&format!("{path}:{}: ", line + 1)), "{found:#?}");
    assert!(found[0].contains(words), "{found:#?}");
}

#[track_caller]
fn passes(path: &str, code: &str) {
    assert_eq!(check(path, code), Vec::<String>::new());
}

#[test]
fn imports_upwards_are_found() {
    let up = "`wire` (floor 2) uses `session` (floor 4)";
    objects("src/wire/read.rs", "use crate::session::Verb;", 1, up);
    objects("src/wire/read.rs", "use crate::{types::Pin, session::{Verb}};", 1, up);
    objects("src/wire/read.rs", "fn f() -> crate::session::Verb {}", 1, up);
    objects("src/wire/read.rs", "fn f() {\n    vec![crate::session::VERB];\n}", 2, up);
    objects("src/wire/read.rs", "use super::super::session::Verb;", 1, up);
    objects("src/wire/read.rs", "pub use crate as all;\nfn f(v: all::session::Verb) {}", 2, up);
    objects("src/wire/read.rs", "mod inner { use super::super::super::session::Verb; }", 1, up);
    objects("src/wire/read.rs", "use crate::*;", 1, "every room");
}

#[test]
fn imports_on_one_floor_are_found() {
    objects("src/tls/mod.rs", "use super::storage::Home;", 1, "`storage` (floor 2)");
    objects("src/protocol/frame.rs", "use crate::fsio;", 1, "`fsio` (floor 1)");
    objects("src/types/mod.rs", "use crate::protocol;", 1, "`protocol` (floor 1)");
}

#[test]
fn programs_only_call_cli() {
    objects("src/bin/sealane.rs", "fn main() { sealane::server::run() }", 1, "not `server`");
    passes("src/bin/sealane.rs", "fn main() { sealane::cli::client::main() }");
}

#[test]
fn imports_downwards_pass() {
    passes("src/session/mod.rs", "use crate::{types::Pin, wire, session::verbs, Root};");
    passes("src/session/verbs/put.rs", "use super::super::answers; use self::part; use super::*;");
    passes("src/lib.rs", "pub mod cli;\npub use crate::cli::Exit;");
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    passes(
        "src/wire/read.rs",
        r##"
        /// As [`crate::session::Verb`] does.
        // use crate::session; x.unwrap(); println!()
        const TEXT: &str = "crate::session::Verb .unwrap() println!()";
        const RAW: &str = r#"dbg!(std::fs::read)"#;
        #[cfg(test)]
        use crate::session::Verb;
        #[cfg(all(test, unix))]
        mod tests {
            use crate::session::Verb;
            #[test]
            fn f() { std::fs::read("x").unwrap(); println!(); }
        }
        struct S { #[cfg(test)] seen: Vec<crate::session::Verb>, other: u8 }
        "##,
    );
}

#[test]
fn code_behind_test_code_is_still_code() {
    let code = "#[cfg(test)]\nfn f() {}\nfn g() { x.unwrap() }";
    objects("src/wire/read.rs", code, 3, "`.unwrap()`");
    let field = "struct S { #[cfg(test)] a: u8, b: crate::cli::Ui }";
    objects("src/wire/read.rs", field, 1, "`cli`");
    objects("src/wire/read.rs", "#[cfg(not(test))]\nfn f() { x.unwrap() }", 2, "`.unwrap()`");
}

#[test]
fn test_modules_in_files_of_their_own_are_known() {
    let parent = Source::parse("src/wire/mod.rs", "//! A.\n#[cfg(test)]\nmod tests;\n");
    let child = |path| Source::parse(path, "//! B.\nfn f() { crate::cli::x().unwrap() }\n");
    assert_eq!(child("src/wire/tests.rs").path, "src/wire/tests.rs");
    let mut all = [parent, child("src/wire/tests.rs"), child("src/wire/tests/deep.rs")];
    assert_eq!(complaints(&mut all), Vec::<String>::new());
    assert_eq!(complaints(&mut [child("src/wire/tests.rs")]).len(), 2);
}

#[test]
fn rooms_without_a_floor_are_found() {
    let found = check("src/attic/mod.rs", "");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("`attic` stands on no floor"), "{found:#?}");
}

#[test]
fn wrong_tables_are_found() {
    let page = "//! | floor | rooms |\n//! |---|---|\n//! | 7 | [`cli`] |\n//! | 6 | [`server`] |";
    let found = floors::tables_agree("src/lib.rs", page);
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(found[0].contains("floor 6 shows [\"server\"]"), "{found:#?}");
}

#[test]
fn long_files_are_found() {
    passes("src/wire/read.rs", &"\n".repeat(399));
    let found = check("src/wire/read.rs", &"\n".repeat(400));
    assert_eq!(found, ["src/wire/read.rs: 401 lines, at most 400"]);
    assert_eq!(check("tests/it/big.rs", &"\n".repeat(400)).len(), 1);
}

#[test]
fn long_functions_are_found() {
    let function = |lines: usize| format!("fn long()\n{{{}}}", "\n".repeat(lines - 2));
    passes("src/wire/read.rs", &function(80));
    objects("src/wire/read.rs", &function(81), 1, "`long` has 81 lines");
    objects("tests/it/big.rs", &function(81), 1, "`long` has 81 lines");
    objects("src/wire/read.rs", &format!("impl S {{\n{}}}", function(81)), 2, "`long`");
}

#[test]
fn missing_documentation_is_found() {
    let found = complaints(&mut [Source::parse("src/wire/read.rs", "fn f() {}\n//! Late.\n")]);
    assert_eq!(found, ["src/wire/read.rs:1: does not begin with `//!`"]);
}

#[test]
fn printing_is_found() {
    for name in ["print", "println", "eprint", "eprintln", "dbg", "std::println"] {
        objects("src/wire/read.rs", &format!("fn f() {{ {name}!(\"x\") }}"), 1, "ui.rs prints");
    }
    passes("src/cli/ui.rs", "fn f() { println!() }");
    passes("tests/it/help.rs", "fn f() { eprintln!(\"skipped: no tool\") }");
}

#[test]
fn unwrapping_is_found() {
    objects("src/cli/ui.rs", "fn f() {\n    x\n        .unwrap()\n}", 3, "`.unwrap()`");
    objects("src/wire/read.rs", "fn f() { x.expect(\"y\") }", 1, "`.expect()`");
    objects("src/wire/read.rs", "fn f() { vec![x.unwrap()] }", 1, "`.unwrap()`");
    objects("src/wire/read.rs", "fn f() { x.expect(&format!(\"y\")) }", 1, "`.expect()`");
    passes(
        "src/wire/read.rs",
        "#[expect(dead_code)]\nfn f() { x.unwrap_or(1); x.expect; meter.expect(size); }",
    );
}

#[test]
fn danger_is_found() {
    objects("src/tls/client.rs", "fn f() { config.dangerous() }", 1, "danger.rs");
    objects("src/client/dial.rs", "fn f() { config\n.dangerous()\n.set() }", 2, "danger.rs");
    passes("src/tls/danger.rs", "fn f() { config.dangerous() }");
}

#[test]
fn reading_the_environment_is_found() {
    objects("src/cli/main.rs", "fn f() { std::env::var(\"X\") }", 1, "environment.rs");
    objects("src/cli/main.rs", "use std::env;\nfn f() { env::var_os(\"X\") }", 2, "environment");
    objects("src/config/mod.rs", "use std::env::vars as all;", 1, "environment.rs");
    passes("src/config/environment.rs", "fn f() { std::env::var(\"X\") }");
    passes("src/cli/main.rs", "use std::env;\nfn f() { env::args() }");
}

#[test]
fn opening_files_is_found() {
    objects("src/client/job.rs", "fn f() { std::fs::read(\"X\") }", 1, "src/fsio");
    objects("src/client/job.rs", "use std::{io, fs::File as F};", 1, "`std::fs::File`");
    objects("src/client/job.rs", "fn f() { tokio::fs::read(\"X\") }", 1, "src/storage");
    assert_eq!(check("src/tls/a.rs", "use std::fs;\nfn f() { fs::File::open(x) }").len(), 2);
    passes("src/fsio/read.rs", "use std::fs::File;");
    passes("src/storage/jail.rs", "use std::fs;");
}

#[test]
fn changing_files_is_found() {
    let place = "only src/fsio/system.rs";
    objects("src/storage/a.rs", "fn f() { rustix::fs::unlinkat(a, b, c) }", 1, place);
    objects("src/storage/a.rs", "use rustix::fs;\nfn f() { fs::fsync(a) }", 2, place);
    objects("src/fsio/a.rs", "fn f() { std::fs::rename(a, b) }", 1, place);
    objects("src/fsio/a.rs", "fn f() { file.sync_all() }", 1, place);
    passes("src/fsio/system.rs", "fn f() { rustix::fs::fsync(a); file.set_len(1) }");
    passes("src/storage/a.rs", "use crate::fsio::disk;\nfn f() { disk::rename(a); fs::flock(b) }");
}

#[test]
fn reading_toml_is_found() {
    objects("src/server/run.rs", "fn f() { toml::from_str(\"X\") }", 1, "src/config");
    objects("src/server/run.rs", "use toml;", 1, "src/config");
    passes("src/config/file.rs", "use toml::Value;");
}

#[test]
fn clocks_in_pure_rooms_are_found() {
    objects("src/protocol/frame.rs", "use tokio::io;", 1, "no clock");
    objects("src/types/chunk.rs", "use std::time;\nfn f() { time::Instant::now() }", 2, "no clock");
    passes("src/types/chunk.rs", "use std::time::Duration;");
}

#[test]
fn unfinished_work_is_found() {
    for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!()")] {
        let text = format!("a\nb {word}: c");
        assert_eq!(rules::nothing_is_left_to_do("docs/X.md", &text).len(), 1, "{word}");
    }
    let call = concat!("fn f() { unimplemented", "!() }");
    assert_eq!(rules::nothing_is_left_to_do("src/x.rs", call).len(), 1);
    let none = concat!("xTO", "DO my_to", "do!() ", "TO", "DOS");
    assert_eq!(rules::nothing_is_left_to_do("src/x.rs", none).len(), 0);
}

#[test]
fn scripts_that_cannot_be_run_are_found() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("go");
    std::fs::write(&file, "").unwrap();
    let with_mode = |mode, text| {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        script_faults("scripts/go", text, &file)
    };
    assert_eq!(with_mode(0o755, "#!/bin/sh\n"), Vec::<String>::new());
    assert_eq!(with_mode(0o644, "#!/bin/sh\n"), ["scripts/go: cannot be run (mode 644)"]);
    assert_eq!(with_mode(0o755, "echo\n"), ["scripts/go:1: does not begin with `#!`"]);
}

#[test]
fn a_defence_without_its_test_is_found() {
    let page = "| row | attack | defence | tests |\n|---|---|---|---|\n| 1 | `x` | y | `is_there`, `is_not` |\n";
    let sources = [Source::parse("tests/it/a.rs", "fn is_there() {}\nfn row_09_hidden() {}")];
    let missing = super::evidence::tests_exist(page, &sources);
    assert_eq!(missing, ["docs/SECURITY.md: there is no test `is_not`"]);
    let hidden = super::evidence::rows_are_shown(page, &sources);
    assert_eq!(hidden, ["docs/SECURITY.md does not show `row_09_hidden`"]);
}
