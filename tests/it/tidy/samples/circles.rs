//! Files that import each other, and some that only seem to.

use super::super::circles::circles;
use super::super::mark_tests;
use super::super::source::Source;

/// The circles among files of `crates/core/src`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let parse = |(path, code): &(&str, &str)| {
        Source::parse(&format!("crates/core/src/{path}"), &format!("//! Sample.\n{code}"))
    };
    let mut sources: Vec<_> = files.iter().map(parse).collect();
    mark_tests(&mut sources);
    circles(&sources)
}

#[track_caller]
fn has_circle(files: &[(&str, &str)], members: &[&str]) {
    let found = found(files);
    assert_eq!(found.len(), 1, "{found:#?}");
    let lines: Vec<_> = found[0].lines().skip(1).collect();
    assert_eq!(lines.len(), members.len(), "{found:#?}");
    for (line, member) in lines.iter().zip(members) {
        assert!(line.starts_with(&format!("    crates/core/src/{member} uses ")), "{found:#?}");
    }
}

#[track_caller]
fn has_none(files: &[(&str, &str)]) {
    assert_eq!(found(files), Vec::<String>::new());
}

#[test]
fn two_files_that_import_each_other_are_found() {
    let a = ("a.rs", "use crate::b::B; pub struct A;");
    has_circle(&[a, ("b.rs", "use super::a::A; pub struct B;")], &["a.rs", "b.rs"]);
    has_circle(&[a, ("b.rs", "pub struct B; fn f() { crate::a::A::new() }")], &["a.rs", "b.rs"]);
    has_none(&[a, ("b.rs", "pub struct B;")]);
}

#[test]
fn a_long_way_round_is_found() {
    let a = ("a.rs", "use crate::b::B; pub struct A;");
    let b = ("b.rs", "use crate::c::C; pub struct B;");
    let d = ("d.rs", "use crate::a::A;");
    has_circle(&[a, b, ("c.rs", "use crate::a::A; pub struct C;"), d], &["a.rs", "b.rs", "c.rs"]);
    has_none(&[a, b, ("c.rs", "pub struct C;"), d]);
}

#[test]
fn a_parent_that_only_hands_names_on_is_in_no_circle() {
    let parent = ("r/mod.rs", "mod a; mod b; pub use a::A; pub(super) use self::b::B;");
    let b = ("r/b.rs", "use super::A; pub struct B;");
    has_none(&[parent, ("r/a.rs", "pub struct A;"), b]);
    has_circle(&[parent, ("r/a.rs", "use super::B; pub struct A;"), b], &["r/a.rs", "r/b.rs"]);
    let all = ("r/mod.rs", "mod a; mod b; pub use a::*; pub use b::*;");
    has_circle(&[all, ("r/a.rs", "use super::B; pub struct A;"), b], &["r/a.rs", "r/b.rs"]);
}

#[test]
fn a_parent_that_uses_its_children_counts() {
    let child = ("r/a.rs", "use super::LIMIT; pub struct A;");
    let limit = "mod a; pub use a::A; const LIMIT: u8 = 1;";
    has_none(&[("r/mod.rs", limit), child]);
    let using = format!("{limit} fn f(a: A) {{}}");
    has_circle(&[("r/mod.rs", &using), child], &["r/a.rs", "r/mod.rs"]);
    let by_path = format!("{limit} fn f() {{ a::A::new() }}");
    has_circle(&[("r/mod.rs", &by_path), child], &["r/a.rs", "r/mod.rs"]);
    let by_use = format!("{limit} use a::B; ");
    let child = ("r/a.rs", "use super::LIMIT; pub struct A; pub trait B {}");
    has_circle(&[("r/mod.rs", &by_use), child], &["r/a.rs", "r/mod.rs"]);
}

#[test]
fn globs_and_other_names_are_followed() {
    let b = ("b.rs", "use crate::a::A as Other; pub struct B; fn f(x: Other) {}");
    has_circle(&[("a.rs", "use crate::b::*; pub struct A(B);"), b], &["a.rs", "b.rs"]);
    has_none(&[("a.rs", "use crate::b::*; pub struct A(C);"), b]);
}

#[test]
fn tests_may_look_at_anything() {
    let a = ("a.rs", "use crate::b::B; pub struct A;");
    has_none(&[a, ("b.rs", "pub struct B; #[cfg(test)] mod t { use crate::a::A; }")]);
    let b = ("b/mod.rs", "pub struct B; #[cfg(test)] mod tests;");
    has_none(&[a, b, ("b/tests.rs", "use crate::a::A; use super::B;")]);
}
