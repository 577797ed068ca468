//! Names: those a server makes up, those that a terminal would obey, those that lead out of a home.

use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use sealane_base::types::{Digest, RemotePath, Secret};
use sealane_protocol::message::{Entry, Login, PutSmall, Refused};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side, Status};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::{FalseServer, aside, assert_closed, entries, entry, evil, insider, refused, service};
use crate::support::pair::USER;
use crate::support::peer::{self, Peer, hello, status};
use crate::support::site::{PASSWORD, client, until};
use crate::support::trees::{content, marks};
use crate::support::{Pair, Person, Site, stdout};

/// Names that are not one component, or not to be shown.
const BAD: [&str; 12] = [
    "..",
    ".",
    "",
    "../up",
    "a/b",
    "/etc",
    "\0",
    "back\\slash",
    "\u{1b}]52;c;AAAA\u{7}",
    "line\rone",
    "\u{202e}txt.exe",
    "bell\u{7}",
];

/// A tree of bad names, of a directory where the client has a link, and of good files in between.
fn made_up(message: ClientMessage) -> ServerMessage {
    match message {
        ClientMessage::Stat(asked) if asked.path == "tree" => {
            ServerMessage::Entry(entry("tree", 1, 0o777))
        }
        ClientMessage::Stat(_) => ServerMessage::Entry(entry("file", 0, 0o777)),
        ClientMessage::List(list) if list.path == "tree" => {
            let mut all: Vec<Entry> = BAD.map(|name| entry(name, 0, 0o6777)).into();
            all.extend(["good", "planted"].map(|name| entry(name, 0, 0o6777)));
            all.push(entry("way", 1, 0o777));
            all.push(entry("mine", 1, 0o777));
            entries(all)
        }
        ClientMessage::List(list) if list.path == "file" => refused(Status::NotDirectory),
        ClientMessage::List(_) => entries(vec![entry("in", 0, 0o777)]),
        ClientMessage::Get(_) => evil(),
        _ => refused(Status::Internal),
    }
}

/// Where a client downloads to: `to/tree`, with a link to `outside` in it, beside things of value.
fn plant(root: &Path) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    std::fs::create_dir_all(root.join("to/tree/mine")).unwrap();
    std::fs::create_dir(root.join("outside")).unwrap();
    std::fs::write(root.join("outside/in"), b"valuable").unwrap();
    std::fs::write(root.join("to/beside"), b"valuable").unwrap();
    symlink(root.join("outside"), root.join("to/tree/way")).unwrap();
    symlink(root.join("outside/in"), root.join("to/tree/planted")).unwrap();
    let private = PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(root.join("to/tree/mine"), private).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn row_01_names_nobody_asked_for() {
    let server = FalseServer::answering(made_up).await;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    plant(&root);
    let before = (content(&root), marks(&root, true));
    let (url, to) = (server.url("tree"), root.join("to"));
    aside(move || client(["get", "-r", &url, to.to_str().unwrap()]).output().unwrap()).await;

    let mut after = content(&root);
    let brought = ["to/tree/good", "to/tree/mine/in", "to/tree/planted"];
    let brought: Vec<_> = brought.iter().filter_map(|name| after.remove(*name)).collect();
    assert_eq!(brought.first(), Some(&Some(b"evil".to_vec())), "what was asked for did come");
    assert!(after == before.0, "{:?}", after.keys().collect::<Vec<_>>());
    // Neither set-id bits anywhere nor another mode on a directory that was there.
    let modes = marks(&root, true);
    assert!(modes.values().all(|(mode, _)| mode & 0o7000 == 0));
    assert_eq!(modes["to/tree/mine"].0, before.1["to/tree/mine"].0);

    // One file was asked for: a directory is no answer, and the name is ours.
    let (url, to) = (server.url("file"), root.join("to/one"));
    aside(move || client(["get", &url, to.to_str().unwrap()]).output().unwrap()).await;
    assert_eq!(std::fs::read(root.join("to/one")).unwrap(), b"evil");
    let (url, to) = (server.url("file"), root.join("to/two"));
    let output = aside(move || client(["get", "-r", &url, to.to_str().unwrap()]).output().unwrap());
    output.await;
    assert!(!root.join("to/two").is_dir(), "a file where a directory was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_01_names_outside_the_home() {
    let service = service().await;
    service.account("bob", 1 << 20);
    drop(service.login("bob").await);
    let all = || content(service.directory.path());
    let before = all();
    let mut peer = insider(&service).await;
    let bad = BAD.iter().copied().filter(|name| !name.is_empty() && *name != "a/b");
    let bad = bad.filter(|name| *name != "/etc"); // `etc`, in the home
    for path in
        bad.chain(["../bob/x", "//etc/passwd", "a/../../bob/x", "keep/..", "./keep", "a//b"])
    {
        let id = format!("{path:?}");
        for message in [
            peer::put(path, 5 << 20),
            peer::put_small(path, b"evil"),
            peer::get(path, false),
            peer::list(path),
            peer::stat(path),
            peer::make_directory(path),
            peer::remove(path),
            peer::rename("keep", path),
            peer::rename(path, "keep"),
            peer::digest_of(path),
        ] {
            let kind = message.kind();
            let answer = peer.exchange(message).await;
            assert_eq!(status(&answer), Some(Status::Path), "{kind:?} {id}");
        }
    }
    assert!(all() == before);
    // Set-id bits are no modes.
    let (path, digest) = ("set-id".to_owned(), Digest::of_bytes(b"x"));
    let put = PutSmall { path, digest, modified: None, mode: Some(0o6755) };
    peer.send(&ClientMessage::PutSmall(put, b"x".to_vec()).encode(9999)).await;
    while peer.next().await.is_some_and(|(header, _)| header.id != 9999) {}
    let file = service.home(USER).join("set-id");
    let mode =
        file.metadata().map(|facts| std::os::unix::fs::PermissionsExt::mode(&facts.permissions()));
    assert!(mode.is_err() || mode.is_ok_and(|mode| mode & 0o7000 == 0));
}

fn obeyed_by_terminals(message: ClientMessage) -> ServerMessage {
    match message {
        ClientMessage::Usage(_) => ServerMessage::Refused(Refused {
            number: 999,
            text: "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\u{202e}done".to_owned(),
            short: None,
            limit: None,
            wait: None,
        }),
        other => made_up(other),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_02_a_terminal_obeys_no_name() {
    let server = FalseServer::answering(obeyed_by_terminals).await;
    for arguments in [["ls", "tree"], ["df", ""], ["stat", "file"]] {
        let url = server.url(arguments[1]);
        let screen = aside(move || Person::new().at_terminal([arguments[0], &url], "")).await;
        assert!(!screen.text.is_empty(), "{arguments:?}");
        // The terminal itself ends each line with a carriage return.
        let text = screen.text.replace("\r\n", "\n");
        let is_obeyed =
            |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(is_obeyed), "{arguments:?}: {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_02_a_link_in_the_way_is_not_followed() {
    let server = FalseServer::answering(made_up).await;
    let directory = tempfile::tempdir().unwrap();
    plant(directory.path());
    let to = directory.path().join("to/tree/planted");
    let url = server.url("file");
    let asked = to.clone();
    let output = aside(move || client(["get", &url, asked.to_str().unwrap()]).output().unwrap());
    assert_ne!(output.await.status.code(), Some(0));
    assert_eq!(std::fs::read(directory.path().join("outside/in")).unwrap(), b"valuable");
    // Nor is it gone: what it led to would no longer be what its owner finds there.
    assert!(to.is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_only_the_exact_name_logs_in() {
    let users = [
        "ann\0",
        "ann\0x",
        "\0ann",
        "ann ",
        " ann",
        "ANN",
        "ａｎｎ",
        "ann\u{301}",
        "ann.db",
        "../ann",
        "",
        "null",
    ];
    for users in users.chunks(3) {
        let service = service().await; // a new one, because it slows guessing down
        for user in users {
            let mut peer = super::stranger(service.address, &service.pins).await;
            peer.send(&[hello(1), peer::login_as(2, user, PASSWORD)].concat()).await;
            let answer = peer.answer_to(2).await;
            assert_eq!(status(&answer), Some(Status::LoginRefused), "{user:?}");
        }
    }
    let service = service().await;
    // `ann` with its first byte written in two, which is no UTF-8.
    let body = [&[0xa2, 0x00, 0x64, 0xc1, 0xa1][..], b"nn", &[0x01, 0x61, b'x']].concat();
    let header = Header::new(Kind::Login, 2, body.len() as u32).encode();
    let mut peer = super::stranger(service.address, &service.pins).await;
    peer.send(&[&hello(1)[..], &header, &body].concat()).await;
    assert!(matches!(peer.answer_to(1).await, ServerMessage::Welcome(_)));
    assert_closed(peer, "overlong").await;

    let mut peer = super::stranger(service.address, &service.pins).await;
    peer.send(&[hello(1), peer::login(2, PASSWORD)].concat()).await;
    let ServerMessage::LoggedIn(said) = peer.answer_to(2).await else { panic!() };
    assert_eq!(said.user.as_bytes(), b"ann");
}

/// Text made of what path rules stumble over.
fn path_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", ".", "..", "a", "b", "é", "e\u{301}", "\\", "\0", "%2e", "C:", "\u{202e}",
        " ", "~", "ａ", "\u{feff}", "con", "\u{7f}",
    ]);
    prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is judged is, byte for byte, what is opened: nothing is rewritten on the way.
    #[test]
    fn row_15_the_path_that_was_judged_is_the_path_that_is_opened(text in path_text()) {
        if let Ok(path) = RemotePath::parse(&text) {
            // A slash at either end says nothing that a home does not say.
            let text = text.strip_prefix('/').unwrap_or(&text);
            let text = text.strip_suffix('/').unwrap_or(text);
            prop_assert_eq!(path.as_str(), text);
            let components: Vec<_> = path.components().collect();
            prop_assert_eq!(components.join("/"), text);
            // As the system will take them apart.
            use std::path::Component;
            let seen: Vec<_> = Path::new(text).components().collect();
            prop_assert!(seen.iter().all(|part| matches!(part, Component::Normal(_))));
            prop_assert_eq!(seen.len(), components.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_15_what_was_named_is_what_was_made() {
    let service = service().await;
    let mut peer = insider(&service).await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut made = 0;
    while made < 100 {
        let text = path_text().new_tree(&mut runner).unwrap().current();
        let parsed = RemotePath::parse(&text);
        let make = peer::make_directory(&text);
        let ClientMessage::MakeDirectory(mut request) = make else { unreachable!() };
        request.flag = true;
        let answer = peer.exchange(ClientMessage::MakeDirectory(request)).await;
        match parsed {
            Err(_) => assert_eq!(status(&answer), Some(Status::Path), "{text:?}"),
            Ok(path) if !path.is_root() => {
                assert!(matches!(answer, ServerMessage::Done(_)), "{text:?}: {answer:?}");
                assert!(service.home(USER).join(path.as_str()).is_dir(), "{text:?}");
                made += 1;
            }
            Ok(_) => {}
        }
    }
    assert_eq!(crate::support::names(&service.directory.path().join("data/homes")), [USER]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_16_no_name_forges_a_line_of_the_log() {
    let site = Site::new();
    site.account(USER, "1M");
    let server = site.start();
    let forged = "x\n2026-01-01T00:00:00.000000Z  INFO logged in user=root \u{1b}[2J\r\0\u{202e}";
    let address = site.address(&server, USER, "");
    let pins = super::pins_of(&address);
    let mut bad = super::stranger(server.address, &pins).await;
    bad.send(&[hello(1), peer::login_as(2, forged, "x")].concat()).await;
    assert_eq!(status(&bad.answer_to(2).await), Some(Status::LoginRefused));
    let mut good = super::stranger(server.address, &pins).await;
    good.send(&[hello(1), peer::login(2, PASSWORD)].concat()).await;
    good.answer_to(2).await;
    for message in [peer::stat(forged), peer::make_directory(forged), peer::get("missing", false)] {
        assert!(status(&good.exchange(message).await).is_some());
    }
    until("the last refusal is logged", || server.log().contains("kind=Get"));
    let log = server.log();
    assert!(log.contains("login refused"));
    for line in log.lines().filter(|line| !line.starts_with("listening on ")) {
        let is_dated = line.get(..2) == Some("20") && line.get(4..5) == Some("-");
        let is_plain = !line.contains(|c: char| c.is_control() || c == '\u{202e}');
        assert!(is_dated && is_plain && !line.starts_with("2026-01-01"), "{line:?}");
    }
    let shown = stdout(&site.admin(["status"]));
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

/// Texts that are given to the log, before it makes lines of them.
#[derive(Clone, Default)]
struct Fields(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Fields {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, _: &Field, value: &str) {
        self.0.lock().unwrap().push(value.to_owned());
    }

    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        self.0.lock().unwrap().push(format!("{value:?}"));
    }
}

/// Whoever makes lines of it, and whether that escapes too or not.
#[tokio::test]
async fn row_16_a_name_is_escaped_before_it_is_logged() {
    let fields = Fields::default();
    let subscriber = tracing_subscriber::registry().with(fields.clone());
    // With a second one the library asks both which events are wanted, in whatever thread an event
    // is met first; with one alone it would ask that thread's.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _here = tracing::subscriber::set_default(subscriber);
    let pair = Pair::new();
    let forged = "x\n2026-01-01 INFO logged in user=root \u{1b}[2J\r\0\u{202e}";
    for password in [Some("x".to_owned()), None] {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let mut peer = Peer::new(near, Side::Server, Some(pair.serve(far)));
        let login = Login { user: forged.to_owned(), password: password.map(Secret::new) };
        peer.send(&[hello(1), ClientMessage::Login(login).encode(2)].concat()).await;
        assert!(status(&peer.answer_to(2).await).is_some());
    }
    let said = fields.0.lock().unwrap().clone();
    assert!(
        said.iter().filter(|text| text.contains("logged in user=root")).count() >= 2,
        "{said:?}"
    );
    let is_plain = |text: &String| !text.contains(|c: char| c.is_control() || c == '\u{202e}');
    assert!(said.iter().all(is_plain), "{said:?}");
}
