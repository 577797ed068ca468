//! Breaks each rule about what only one place may do.

use super::{check, objects, passes};

#[test]
fn printing_is_found() {
    for name in ["print", "println", "eprint", "eprintln", "dbg", "std::println"] {
        objects(
            "crates/protocol/src/wire/read.rs",
            &format!("fn f() {{ {name}!(\"x\") }}"),
            1,
            "ui.rs prints",
        );
    }
    passes("src/cli/ui.rs", "fn f() { println!() }");
    passes("tests/it/help.rs", "fn f() { eprintln!(\"skipped: no tool\") }");
}

#[test]
fn danger_is_found() {
    objects("crates/tls/src/client.rs", "fn f() { config.dangerous() }", 1, "danger.rs");
    objects("crates/client/src/dial.rs", "fn f() { config\n.dangerous()\n.set() }", 2, "danger.rs");
    passes("crates/tls/src/danger.rs", "fn f() { config.dangerous() }");
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
    objects(
        "crates/client/src/job.rs",
        "fn f() { std::fs::read(\"X\") }",
        1,
        "crates/base/src/fsio",
    );
    objects("crates/client/src/job.rs", "use std::{io, fs::File as F};", 1, "`std::fs::File`");
    objects(
        "crates/client/src/job.rs",
        "fn f() { tokio::fs::read(\"X\") }",
        1,
        "crates/base/src/files",
    );
    assert_eq!(check("crates/tls/src/a.rs", "use std::fs;\nfn f() { fs::File::open(x) }").len(), 2);
    passes("crates/base/src/fsio/read.rs", "use std::fs::File;");
    passes("crates/base/src/files/jail.rs", "use std::fs;");
}

#[test]
fn changing_files_is_found() {
    let place = "only crates/base/src/fsio/system.rs";
    objects("crates/core/src/storage/a.rs", "fn f() { rustix::fs::unlinkat(a, b, c) }", 1, place);
    objects("crates/core/src/storage/a.rs", "use rustix::fs;\nfn f() { fs::fsync(a) }", 2, place);
    objects("crates/base/src/fsio/a.rs", "fn f() { std::fs::rename(a, b) }", 1, place);
    objects("crates/base/src/fsio/a.rs", "fn f() { file.sync_all() }", 1, place);
    passes("crates/base/src/fsio/system.rs", "fn f() { rustix::fs::fsync(a); file.set_len(1) }");
    passes(
        "crates/core/src/storage/a.rs",
        "use sealane_base::fsio::disk;\nfn f() { disk::rename(a); fs::flock(b) }",
    );
}

#[test]
fn reading_toml_is_found() {
    objects("crates/server/src/run.rs", "fn f() { toml::from_str(\"X\") }", 1, "src/config");
    objects("crates/server/src/run.rs", "use toml;", 1, "src/config");
    passes("src/config/file.rs", "use toml::Value;");
}

#[test]
fn clocks_in_pure_rooms_are_found() {
    objects("crates/protocol/src/frame.rs", "use tokio::io;", 1, "no clock");
    objects(
        "crates/base/src/types/chunk.rs",
        "use std::time;\nfn f() { time::Instant::now() }",
        2,
        "no clock",
    );
    passes("crates/base/src/types/chunk.rs", "use std::time::Duration;");
}

#[test]
fn an_allocator_in_a_library_is_found() {
    let code = "#[global_allocator]\nstatic A: M = M;";
    objects("src/lib.rs", code, 1, "only src/bin");
    objects("crates/core/src/lib.rs", code, 1, "only src/bin");
    passes("src/bin/sealane.rs", code);
}
