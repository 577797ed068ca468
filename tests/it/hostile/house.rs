//! The house itself: rows 4, 9, 13, 20, 24 and 26.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sealane_base::types::path::MAX_LEVELS;
use sealane_base::types::{Address, PinSet, Secret};
use sealane_client::Target;
use sealane_protocol::message::List;
use sealane_protocol::{ClientMessage, ServerMessage, Status};

use super::{insider, service};
use crate::support::pair::USER;
use crate::support::peer::{self, status};
use crate::support::service::connect;
use crate::support::site::{PASSWORD, Server, ended, sealane};
use crate::support::trees::content;
use crate::support::{Service, Site, fails, ok, stdout};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[tokio::test(flavor = "multi_thread")]
async fn row_04_a_directory_that_turns_into_a_link_leads_nowhere() {
    let service = service().await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("f"), b"secret").unwrap();
    let home = service.home(USER);
    std::fs::create_dir(home.join("d")).unwrap();
    std::fs::write(home.join("d/f"), b"inside").unwrap();
    symlink(outside.path(), home.join("link")).unwrap();
    let mut peer = insider(&service).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, place) = (stop.clone(), home.clone());
    let flipping = std::thread::spawn(move || {
        let (directory, link) = (place.join("d"), place.join("link"));
        while !flag.load(Ordering::Relaxed) {
            renameat_with(CWD, &directory, CWD, &link, RenameFlags::EXCHANGE).unwrap();
        }
    });
    let mut reached = 0;
    for round in 0..300 {
        match peer.exchange(peer::get("d/f", false)).await {
            ServerMessage::File(_, bytes) => {
                assert_eq!(bytes, b"inside");
                reached += 1;
            }
            other => assert!(status(&other).is_some()),
        }
        let name = format!("d/{round}");
        for message in [
            peer::stat("d/f"),
            peer::list("d"),
            peer::make_directory(&name),
            peer::rename(&name, "d/other"),
            peer::put_small("d/upload", b"x"),
            peer::digest_of("d/f"),
            peer::remove("d/other"),
        ] {
            peer.exchange(message).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    flipping.join().unwrap();
    assert!(reached > 0);
    assert_eq!(crate::support::names(outside.path()), ["f"]);
    assert_eq!(std::fs::read(outside.path().join("f")).unwrap(), b"secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_09_a_record_that_cannot_be_read_opens_nothing() {
    let service = Service::start().await;
    service.account(USER, 1 << 20);
    let place = service.directory.path().join("accounts/ann.db");
    let good = std::fs::read_to_string(&place).unwrap();
    drop(service.login(USER).await);
    let source = Some(service.address.ip());
    let twice = good.replacen('{', r#"{"username": "ann","#, 1);
    for bad in [
        "",
        "{",
        "[]",
        "null",
        &good[..good.len() / 2],
        &good.replace("limitsize", "limitsise"),
        &good.replace("argon2id", "argon2xx"),
        &good.replacen(USER, "bob", 1),
        &twice,
        &format!("{good}x"),
        &format!("{good}{}", " ".repeat(70_000)),
    ] {
        std::fs::write(&place, bad).unwrap();
        let error = service.try_login(USER, PASSWORD).await.unwrap_err().to_string();
        assert_eq!(error, "login refused", "{bad:.60}");
        service.authenticator.unblock(&sealane_base::types::Username::parse(USER).unwrap(), source);
    }
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    assert!(service.try_login(USER, PASSWORD).await.is_err());
    std::fs::remove_dir(&place).unwrap();
    std::fs::write(&place, good).unwrap();
    service.try_login(USER, PASSWORD).await.unwrap();
}

#[test]
fn row_09_a_configuration_that_cannot_be_read_starts_nothing() {
    let site = Site::new();
    let good = std::fs::read_to_string(site.config()).unwrap();
    let run = || {
        let mut server = Command::new(env!("CARGO_BIN_EXE_sealaned"));
        ended(server.arg("--config").arg(site.config()))
    };
    for bad in [
        good.replace("[limits]", "[limit]"),
        good.replace("login_seconds = 30", "login_seconds = 0"),
        good.replace("login_seconds = 30", "login_seconds = -1"),
        good.replace("stall_seconds = 60", "stall_seconds = 0"),
        good.replace("connections = 256", "connections = \"unlimited\""),
        format!("{good}\n[access]\nallow = [\"example.com\"]\n"),
        good[..good.len() / 2].replace('"', ""),
    ] {
        assert_ne!(bad, good);
        std::fs::write(site.config(), bad).unwrap();
        fails(run(), 2, "config.toml");
    }
}

/// Addresses that a process listens on; `None` if we may not see them.
fn listeners(pid: u32) -> Option<Vec<String>> {
    let mut sockets = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        if let Some(inode) = target.strip_prefix("socket:[") {
            sockets.push(inode.trim_end_matches(']').to_owned());
        }
    }
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "packet"] {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")) else {
            continue;
        };
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let is_open = !table.starts_with("tcp") || fields.get(3) == Some(&"0A");
            let inode = fields.iter().find(|field| sockets.iter().any(|inode| inode == *field));
            if is_open && inode.is_some() {
                found.push(format!("{table} {}", fields[1]));
            }
        }
    }
    Some(found)
}

#[test]
fn row_13_one_port_and_one_private_socket() {
    let site = Site::new();
    site.account(USER, "1M");
    let server = site.start();
    let port = server.address.port();
    match listeners(server.child.id()) {
        Some(found) => assert_eq!(found, [format!("tcp 0100007F:{port:04X}")]),
        // The server lets nobody look into it, not even its own user.
        None => println!("skipped: only root sees which sockets a server has open"),
    }
    let data = site.root().join("data");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join(".control"))), (0o700, 0o600));
    // No verb of the network reaches it.
    fails(sealane(["get", &site.address(&server, USER, ".control"), "-"]), 3, "");
}

/// Nested directories, as a client could make them once: moved into one another.
fn nest(home: &Path, levels: usize) -> String {
    std::fs::create_dir(home.join("0")).unwrap();
    for level in 1..levels {
        let (inner, outer) = (home.join((level - 1).to_string()), home.join(level.to_string()));
        std::fs::create_dir(&outer).unwrap();
        std::fs::rename(inner, outer.join("d")).unwrap();
    }
    (levels - 1).to_string()
}

/// A server whose threads have little stack, so that recursion would be noticed.
fn start_with_little_stack(site: &Site) -> Server {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -s 256; exec \"$0\" --config \"$1\""])
        .arg(env!("CARGO_BIN_EXE_sealaned"))
        .arg(site.config())
        .env("RUST_MIN_STACK", "262144")
        .stderr(Stdio::piped());
    Server::run(command).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_20_a_tree_deeper_than_any_path_is_removed() {
    let site = Site::new();
    site.account(USER, "1M");
    let server = start_with_little_stack(&site);
    let at = |path: &str| site.address(&server, USER, path);
    // As long as a session lasts, the home is not counted again.
    let address = Address::parse(&at("")).unwrap();
    let pins = PinSet::new(address.pins.clone()).unwrap();
    let target = Target::new(&address, address.user.clone().unwrap(), pins);
    let session = connect(&target, &Secret::new(PASSWORD.to_owned())).await.unwrap();
    let top = nest(&site.home(USER), 3_000);
    ok(sealane(["rm", "-r", &at(&top)]));
    ok(sealane(["df", &at("")]));
    drop(session);
    assert!(content(&site.home(USER)).is_empty());
}

#[test]
fn row_20_a_home_that_is_too_deep_is_refused_alone() {
    let site = Site::new();
    for user in [USER, "other"] {
        site.account(user, "1M");
    }
    let home = site.home(USER);
    std::fs::create_dir_all(&home).unwrap();
    let top = nest(&home, 3_000);
    let server = start_with_little_stack(&site);
    let at = |user: &str| site.address(&server, user, "");
    let refused = sealane(["ls", &at(USER)]);
    let other = sealane(["ls", &at("other")]);
    std::fs::rename(home.join(&top), site.root().join("data/aside")).unwrap();
    let opened = sealane(["ls", &at(USER)]);
    std::fs::rename(
        site.root().join("data/aside"),
        site.root().join("data/partials/other/1.trash"),
    )
    .unwrap();
    // What was half removed once is cleared however deep it is.
    let cleared = sealane(["ls", &at("other")]);
    fails(refused, 6, "the server had an error");
    assert!(server.log().contains("home is not opened"), "{}", server.log());
    for outcome in [other, opened, cleared] {
        ok(outcome);
    }
    assert!(content(&site.root().join("data/partials/other")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn row_20_moved_into_one_another_directories_reach_a_limit() {
    let service = service().await;
    let mut peer = insider(&service).await;
    let mut refused = None;
    peer.exchange(peer::make_directory("0")).await;
    for level in 1..=MAX_LEVELS {
        peer.exchange(peer::make_directory(&level.to_string())).await;
        let moving = peer::rename(&(level - 1).to_string(), &format!("{level}/d"));
        refused = status(&peer.exchange(moving).await).map(|status| (level, status));
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused, Some((MAX_LEVELS, Status::Path)));
    let mut again = insider(&service).await;
    assert_eq!(status(&again.exchange(peer::stat(&(MAX_LEVELS - 1).to_string())).await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_20_a_large_directory_comes_in_pages() {
    const FILES: usize = 20_000;
    let service = service().await;
    let home = service.home(USER);
    std::fs::create_dir(home.join("many")).unwrap();
    let first = home.join("many/000000");
    std::fs::write(&first, b"").unwrap();
    for number in 1..FILES {
        std::fs::hard_link(&first, home.join(format!("many/{number:06}"))).unwrap();
    }
    let mut peer = insider(&service).await;
    let (mut after, mut seen) = (None, 0);
    loop {
        let list = List { path: "many".to_owned(), after: after.take(), whole: None };
        let ServerMessage::Entries(page) = peer.exchange(ClientMessage::List(list)).await else {
            panic!()
        };
        assert!(page.entries.len() <= 1000);
        seen += page.entries.len();
        after = page.entries.last().map(|entry| entry.name.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, FILES);
    // Cursors of any kind end somewhere.
    for cursor in ["", "\u{10ffff}", "..", "/", &"z".repeat(4000)] {
        let list = List { path: "many".to_owned(), after: Some(cursor.to_owned()), whole: None };
        let answer = peer.exchange(ClientMessage::List(list)).await;
        let fine = matches!(answer, ServerMessage::Entries(_)) || status(&answer).is_some();
        assert!(fine && status(&answer) != Some(Status::Internal), "{cursor:.9}: {answer:?}");
    }
}

#[test]
fn row_24_what_may_not_be_built_in_is_not() {
    let read = |name: &str| std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap();
    let (lock, deny) = (read("Cargo.lock"), read("deny.toml"));
    // What is built here: a new machine has no other crates, and the lock file also names what no
    // feature of ours turns on. `cargo deny` looks at the other platforms.
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(ROOT)
        .output();
    let tree = stdout(&ok(tree.unwrap()));
    assert!(tree.contains("\nrustls v"), "{tree}");
    for banned in ["ring", "openssl-sys", "native-tls", "rustls-pemfile", "bincode"] {
        assert!(!tree.contains(&format!("\n{banned} v")), "{banned} is built in");
        assert!(deny.contains(&format!("crate = \"{banned}\"")), "{banned} not in deny.toml");
    }
    // Versions with known holes.
    let number = |version: &str| -> Vec<u32> {
        version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    };
    let floors = deny.lines().filter_map(|line| line.split_once("crate = \"")?.1.split_once("@<"));
    let floors: Vec<_> = floors.collect();
    assert!(floors.len() >= 6, "{floors:?}");
    for (name, rest) in floors {
        let floor = rest.split('"').next().unwrap();
        let entry = format!("\nname = \"{name}\"\nversion = \"");
        for version in lock.split(&entry).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(number(version) >= number(floor), "{name} {version} is below {floor}");
        }
    }
    let sources = lock.lines().filter(|line| line.starts_with("source = "));
    let elsewhere: Vec<_> = sources.filter(|line| !line.contains("crates.io-index\"")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert!(!Path::new(ROOT).join("build.rs").exists(), "nothing of ours runs at build time");
}

#[test]
fn row_26_no_deadline_looks_at_the_wall_clock() {
    const CLOCKS: [&str; 4] = ["SystemTime::now", "now_utc()", "now_local()", "UNIX_EPOCH.elapsed"];
    for room in ["protocol", "tls", "server", "client", "core/src/service"] {
        let crates = Path::new(ROOT).join("crates");
        let place =
            if room.contains('/') { crates.join(room) } else { crates.join(room).join("src") };
        for (name, bytes) in content(&place) {
            let text = String::from_utf8(bytes.unwrap_or_default()).unwrap();
            let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
            // Where days are meant: the age of partials and of key files, the time in a receipt and
            // in a new certificate.
            let is_about_days = matches!(
                (room, name.as_str()),
                ("server", "lib.rs" | "keys.rs" | "live.rs" | "signer.rs" | "https/certificate.rs")
                    | ("tls", "generate.rs")
                    | ("client", "trust.rs" | "tree/ends.rs" | "tree/send.rs")
            );
            let reads = CLOCKS.iter().any(|clock| shipped.contains(clock));
            assert!(name.contains("tests") || is_about_days || !reads, "{room}/{name}");
        }
    }
}
