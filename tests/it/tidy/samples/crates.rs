//! Breaks each rule about crates and what they depend on.

use super::super::crates::{manifest_faults, manifests_agree, table_agrees};
use super::{objects, passes};

#[test]
fn a_crate_that_depends_on_another_floor_is_found() {
    let path = "crates/tls/Cargo.toml";
    let faults = |text: &str| manifest_faults(path, "tls", text);
    let core = "[dependencies]\nsealane-base.workspace = true\nsealane-core.workspace = true\n";
    assert_eq!(faults(core), ["crates/tls/Cargo.toml: `tls` may not depend on `core`"]);
    let special = "[target.'cfg(unix)'.dependencies]\nsealane-core = { workspace = true }\n";
    assert_eq!(faults(special).len(), 1);
    let tests = "[dev-dependencies]\nsealane-core = { workspace = true }\n";
    assert_eq!(faults(tests), Vec::<String>::new());
    let unknown = manifest_faults("crates/attic/Cargo.toml", "attic", core);
    assert!(unknown[0].contains("`attic` is not in the table"), "{unknown:?}");
}

#[test]
fn a_forbidden_library_is_found() {
    let faults = |name: &str, library: &str| {
        manifest_faults("x", name, &format!("[dependencies]\n{library} = \"1\"\n")).len()
    };
    let forbidden =
        [("base", "socket2"), ("core", "rustls"), ("protocol", "socket2"), ("client", "argon2")];
    for (name, library) in forbidden {
        assert_eq!(faults(name, library), 1, "{name} and {library}");
    }
    assert_eq!(faults("server", "argon2"), 0);
}

#[test]
fn a_crate_without_a_manifest_is_found() {
    let one = ("crates/base/Cargo.toml".to_owned(), String::new());
    let found = manifests_agree(&[one]);
    assert_eq!(found.len(), 6, "{found:?}");
}

#[test]
fn wrong_tables_are_found() {
    let page = "| crate | depends on |\n|---|---|\n| `base` | |\n| `tls` | `base`, `core` |\n";
    let found = table_agrees("docs/X.md", page);
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(found[0].contains("`tls` shows"), "{found:#?}");
    assert!(found[1].contains("no row shows the crate `protocol`"), "{found:#?}");
}

#[test]
fn sockets_and_files_in_pure_crates_are_found() {
    objects("crates/core/src/a.rs", "use tokio::net::TcpStream;", 1, "`core` has no socket");
    objects("crates/core/src/a.rs", "fn f(s: std::net::TcpStream) {}", 1, "`core` has no socket");
    let protocol = "crates/protocol/src/wire/a.rs";
    objects(protocol, "use std::os::unix::net::UnixStream;", 1, "`protocol` has no socket");
    objects(protocol, "use sealane_base::fsio;", 1, "no file");
    passes("crates/server/src/a.rs", "use tokio::net::TcpStream;");
    passes("crates/core/src/a.rs", "use std::net::IpAddr;");
}
