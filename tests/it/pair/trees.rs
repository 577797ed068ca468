//! `get -r` from a server that lists what is not there and names what must not be named: nothing is
//! written outside the tree, and nothing waits for ever.

use std::sync::Arc;

use sealane_base::files::{EntryKind, Tree, TreeEntry};
use sealane_base::types::{Digest, RemotePath};
use sealane_client::tree::{
    Compare, Ends, Event, Exclude, Listing, Plan, Preserve, Rules, download_tree, list_remote,
    upload_tree,
};
use sealane_protocol::message::{Entries, Entry, File};
use sealane_protocol::transfer::Meter;
use sealane_protocol::{ClientMessage, Kind, ServerMessage};

use super::liar::path;
use crate::support::pair::lying_server;
use crate::support::peer::soon;
use crate::support::{Pair, names};

fn entry(name: &str, kind: u8) -> Entry {
    Entry { name: name.to_owned(), kind, size: 4, modified: 0, mode: 0o644 }
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_counted_and_never_used() {
    let (client, mut server) = lying_server().await;
    let client = client;
    let lying = async {
        loop {
            let (header, body) = server.next().await.unwrap();
            let ClientMessage::List(list) = ClientMessage::decode(header.kind, &body).unwrap()
            else {
                panic!("{:?}", header.kind)
            };
            let entries = if list.path == "tree" {
                let bad = ["..", ".", "", "../up", "a/b", "/etc", "\0", "back\\slash"];
                let mut entries: Vec<_> = bad.map(|name| entry(name, 0)).into();
                entries.extend([entry("good", 0), entry("down", 1), entry("good", 0)]);
                entries
            } else {
                // For ever deeper.
                vec![entry("down", 1)]
            };
            let page = Entries { entries, more: false, hidden: 0, follows: None, unfit: None };
            server.say(header.id, ServerMessage::Entries(page)).await;
        }
    };
    let base = path("tree");
    let exclude = Exclude::default();
    let listing = soon(async {
        tokio::select! {
            listing = list_remote(&client, &base, &exclude) => listing.unwrap(),
            () = lying => unreachable!(),
        }
    })
    .await;
    let good = listing.entries.iter().filter(|entry| entry.kind == EntryKind::File);
    assert_eq!(good.map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["good"]);
    assert!(listing.entries.len() <= 65);
    assert!(listing.problems.iter().any(|problem| problem.error.to_string().contains("8 names")));
}

#[tokio::test]
async fn a_file_that_is_another_one_or_lies_behind_a_link_is_not_written() {
    let (client, mut server) = lying_server().await;
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), directory.path().join("way")).unwrap();
    let listed = |name: &str| TreeEntry {
        path: RemotePath::parse(name).unwrap(),
        kind: EntryKind::File,
        size: 4,
        modified: 0,
        mode: 0o644,
    };
    // As if the link had been planted after the listing.
    let entries = vec![listed("forged"), listed("good"), listed("way/in")];
    let source = Listing { entries, ..Listing::default() };
    let rules = Rules { compare: Compare::Time, delete: false, preserve: Preserve::No };
    let plan = Plan::new(source, Listing::default(), rules);
    let ends = Arc::new(Ends {
        client,
        tree: Arc::new(Tree::open(directory.path()).unwrap()),
        base: RemotePath::default(),
        preserve: false,
        cache: None,
        meter: Arc::new(Meter::default()),
    });
    let lying = async {
        loop {
            let (header, body) = server.next().await.unwrap();
            assert_eq!(header.kind, Kind::Get);
            let ClientMessage::Get(get) = ClientMessage::decode(header.kind, &body).unwrap() else {
                panic!()
            };
            let digest = Digest::of_bytes(if get.path == "forged" { b"true" } else { b"evil" });
            let file = File { digest, modified: None, mode: None };
            server.say(header.id, ServerMessage::File(file, b"evil".to_vec())).await;
        }
    };
    let mut failed = Vec::new();
    soon(async {
        let work = download_tree(&ends, plan, |event| {
            if event.result.is_err() {
                failed.push(event.path.to_string());
            }
        });
        tokio::select! { done = work => done.unwrap(), () = lying => unreachable!() }
    })
    .await;
    failed.sort();
    assert_eq!(failed, ["forged", "way/in"]);
    assert_eq!(names(directory.path()), ["good", "way"]);
    assert_eq!(names(outside.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_became_a_directory_after_the_plan_fails_alone() {
    let pair = Pair::new();
    let local = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        std::fs::write(local.path().join(name), name).unwrap();
    }
    let (client, _served) = pair.client().await;
    let tree = Arc::new(Tree::open(local.path()).unwrap());
    let rules = Rules { compare: Compare::Time, delete: false, preserve: Preserve::No };
    let ends = Arc::new(Ends {
        client,
        tree: tree.clone(),
        base: RemotePath::default(),
        preserve: false,
        cache: None,
        meter: Arc::new(Meter::default()),
    });
    let walked = || Listing::from(tree.walk(&|_, _| false));
    let into_directory = |path: std::path::PathBuf| {
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(path).unwrap();
    };

    let plan = Plan::new(walked(), Listing::default(), rules);
    into_directory(local.path().join("b"));
    let mut failed = Vec::new();
    let note = |event: Event| failed.extend(event.result.err().map(|_| event.path.to_string()));
    upload_tree(&ends, plan, note).await.unwrap();
    assert_eq!(failed.join(" ").trim_matches('/'), "b");
    assert_eq!(names(&pair.home()), ["a", "c"]);

    let listed = list_remote(&ends.client, &ends.base, &Exclude::default()).await.unwrap();
    pair.file("c", b"newer");
    let plan = Plan::new(listed, Listing::default(), rules);
    into_directory(pair.home().join("a"));
    std::fs::remove_file(local.path().join("c")).unwrap();
    std::fs::create_dir(local.path().join("c")).unwrap();
    let mut failed = Vec::new();
    let note = |event: Event| failed.extend(event.result.err().map(|_| event.path.to_string()));
    download_tree(&ends, plan, note).await.unwrap();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert_eq!(names(local.path()), ["a", "b", "c"]);
    assert_eq!(std::fs::read(local.path().join("a")).unwrap(), b"a");
}
