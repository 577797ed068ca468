//! Breaks every rule on purpose, beside a sample that keeps it.

mod circles;
mod crates;
mod reserved;

use super::source::Source;
use super::{complaints, rules, script_faults};

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
    let up = "`admin` stands below `config`";
    objects("src/admin/init.rs", "use crate::config::Verb;", 1, up);
    objects("src/admin/init.rs", "use crate::{admin::Pin, config::{Verb}};", 1, up);
    objects("src/admin/init.rs", "fn f() -> crate::config::Verb {}", 1, up);
    objects("src/admin/init.rs", "fn f() {\n    vec![crate::config::VERB];\n}", 2, up);
    objects("src/admin/init.rs", "use super::super::config::Verb;", 1, up);
    objects("src/admin/init.rs", "pub use crate as all;\nfn f(v: all::config::Verb) {}", 2, up);
    objects("src/admin/init.rs", "mod inner { use super::super::super::config::Verb; }", 1, up);
    objects("src/admin/init.rs", "use crate::*;", 1, "every room");
    objects("src/config/file.rs", "use crate::cli;", 1, "`config` stands below `cli`");
}

#[test]
fn programs_only_call_cli() {
    objects("src/bin/sealane.rs", "fn main() { sealane::admin::run() }", 1, "not `admin`");
    passes("src/bin/sealane.rs", "fn main() { sealane::cli::client::main() }");
}

#[test]
fn imports_downwards_pass() {
    passes("src/cli/mod.rs", "use crate::{admin::Pin, config, cli::verbs, Root};");
    passes("src/cli/admin/put.rs", "use super::super::answers; use self::part; use super::*;");
    passes("src/lib.rs", "pub mod cli;\npub use crate::cli::Exit;");
    passes("crates/tls/src/admin.rs", "use crate::cli::Verb;");
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    passes(
        "src/admin/init.rs",
        r##"
        /// As [`crate::config::Verb`] does.
        // use crate::config; x.unwrap(); println!()
        const TEXT: &str = "crate::config::Verb .unwrap() println!()";
        const RAW: &str = r#"dbg!(std::fs::read)"#;
        #[cfg(test)]
        use crate::config::Verb;
        #[cfg(all(test, unix))]
        mod tests {
            use crate::config::Verb;
            #[test]
            fn f() { std::fs::read("x").unwrap(); println!(); }
        }
        struct S { #[cfg(test)] seen: Vec<crate::config::Verb>, other: u8 }
        "##,
    );
}

#[test]
fn code_behind_test_code_is_still_code() {
    let code = "#[cfg(test)]\nfn f() {}\nfn g() { x.unwrap() }";
    objects("crates/protocol/src/wire/read.rs", code, 3, "`.unwrap()`");
    let field = "struct S { #[cfg(test)] a: u8, b: crate::cli::Ui }";
    objects("src/admin/init.rs", field, 1, "`cli`");
    objects(
        "crates/protocol/src/wire/read.rs",
        "#[cfg(not(test))]\nfn f() { x.unwrap() }",
        2,
        "`.unwrap()`",
    );
}

#[test]
fn test_modules_in_files_of_their_own_are_known() {
    let parent =
        Source::parse("crates/protocol/src/wire/mod.rs", "//! A.\n#[cfg(test)]\nmod tests;\n");
    let child = |path| Source::parse(path, "//! B.\nfn f() { x().unwrap() }\n");
    let other = "crates/core/src/wire/tests.rs";
    let mut all = [
        parent,
        child("crates/protocol/src/wire/tests.rs"),
        child("crates/protocol/src/wire/tests/deep.rs"),
    ];
    assert_eq!(complaints(&mut all), Vec::<String>::new());
    assert_eq!(complaints(&mut [child("crates/protocol/src/wire/tests.rs")]).len(), 1);
    let parent =
        Source::parse("crates/protocol/src/wire/mod.rs", "//! A.\n#[cfg(test)]\nmod tests;\n");
    assert_eq!(complaints(&mut [parent, child(other)]).len(), 1);
}

#[test]
fn rooms_without_a_floor_are_found() {
    let found = check("src/attic/mod.rs", "");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("`attic` stands on no floor"), "{found:#?}");
}

#[test]
fn long_files_are_found() {
    passes("crates/protocol/src/wire/read.rs", &"\n".repeat(399));
    let found = check("crates/protocol/src/wire/read.rs", &"\n".repeat(400));
    assert_eq!(found, ["crates/protocol/src/wire/read.rs: 401 lines, at most 400"]);
    assert_eq!(check("tests/it/big.rs", &"\n".repeat(400)).len(), 1);
}

#[test]
fn long_functions_are_found() {
    let function = |lines: usize| format!("fn long()\n{{{}}}", "\n".repeat(lines - 2));
    passes("crates/protocol/src/wire/read.rs", &function(80));
    objects("crates/protocol/src/wire/read.rs", &function(81), 1, "`long` has 81 lines");
    objects("tests/it/big.rs", &function(81), 1, "`long` has 81 lines");
    objects(
        "crates/protocol/src/wire/read.rs",
        &format!("impl S {{\n{}}}", function(81)),
        2,
        "`long`",
    );
}

#[test]
fn wide_comments_are_found() {
    let comment = |columns: usize| format!("/// {}", "ö".repeat(columns - 4));
    passes("crates/protocol/src/wire/read.rs", &comment(100));
    let found = "a comment of 101 columns";
    objects("crates/protocol/src/wire/read.rs", &comment(101), 1, found);
    objects("tests/it/big.rs", &comment(101), 1, found);
    let inner = format!("fn f() {{\n    // {}\n}}", "x".repeat(94));
    objects("src/cli/ui.rs", &inner, 2, found);
}

#[test]
fn missing_documentation_is_found() {
    let found = complaints(&mut [Source::parse(
        "crates/protocol/src/wire/read.rs",
        "fn f() {}\n//! Late.\n",
    )]);
    assert_eq!(found, ["crates/protocol/src/wire/read.rs:1: does not begin with `//!`"]);
}

#[test]
fn unwrapping_is_found() {
    objects("src/cli/ui.rs", "fn f() {\n    x\n        .unwrap()\n}", 3, "`.unwrap()`");
    objects("crates/protocol/src/wire/read.rs", "fn f() { x.expect(\"y\") }", 1, "`.expect()`");
    objects("crates/protocol/src/wire/read.rs", "fn f() { vec![x.unwrap()] }", 1, "`.unwrap()`");
    objects(
        "crates/protocol/src/wire/read.rs",
        "fn f() { x.expect(&format!(\"y\")) }",
        1,
        "`.expect()`",
    );
    passes(
        "crates/protocol/src/wire/read.rs",
        "#[expect(dead_code)]\nfn f() { x.unwrap_or(1); x.expect; meter.expect(size); }",
    );
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
