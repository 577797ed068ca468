//! A whole directory in one answer of many frames, and servers that leave some out or never end.

use sealane_client::session::SessionError;
use sealane_protocol::message::{Entries, Entry, List};
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Status};

use super::liar::{assert_usable, path};
use crate::support::Pair;
use crate::support::pair::lying_server;
use crate::support::peer::{Peer, cancel, soon, stat, status};

const COUNT: usize = 20_000;

fn whole(path: &str) -> ClientMessage {
    ClientMessage::List(List { path: path.to_owned(), after: None, whole: Some(true) })
}

fn pair() -> Pair {
    let pair = Pair::new();
    std::fs::create_dir(pair.home().join("d")).unwrap();
    for number in 0..COUNT {
        pair.file(&format!("d/{number}"), b"");
    }
    pair
}

#[tokio::test]
async fn twenty_thousand_entries_are_one_question() {
    let pair = pair();
    let mut peer = pair.logged_in().await;
    let id = peer.ask(whole("d")).await;
    let (mut names, mut frames) = (Vec::new(), 0);
    loop {
        let ServerMessage::Entries(page) = peer.answer_to(id).await else { panic!() };
        frames += 1;
        assert!(page.entries.len() <= 1000 && !page.more);
        names.extend(page.entries.into_iter().map(|entry| entry.name));
        if page.follows != Some(true) {
            break;
        }
    }
    assert!(frames <= COUNT / 1000 + 1, "{frames}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), COUNT);
    // A listing that is given up ends, and nothing else waits for it.
    let id = peer.ask(whole("d")).await;
    peer.send(&cancel(id)).await;
    assert!(matches!(peer.exchange(stat("d")).await, ServerMessage::Entry(_)));
    assert_eq!(status(&peer.exchange(whole("d/1")).await), Some(Status::NotDirectory));

    let (client, _served) = pair.client().await;
    let all = client.list_whole(&path("d")).await.unwrap();
    assert_eq!(all.entries.len(), COUNT);
    assert!(all.entries.is_sorted_by(|one, other| one.name < other.name));
}

fn entry(name: &str) -> Entry {
    Entry { name: name.to_owned(), kind: 0, size: 1, modified: 0, mode: 0o644 }
}

fn page(names: &[&str], more: bool, follows: Option<bool>) -> ServerMessage {
    let entries = names.iter().map(|name| entry(name)).collect();
    ServerMessage::Entries(Entries { entries, more, hidden: 0, follows, unfit: None })
}

async fn listed(answers: impl AsyncFnOnce(&mut Peer)) -> Result<Vec<String>, SessionError> {
    let (client, mut server) = lying_server().await;
    let root = path("");
    let lying = async {
        answers(&mut server).await;
        std::future::pending::<()>().await;
    };
    let all = soon(async {
        tokio::select! { all = client.list_whole(&root) => all, () = lying => unreachable!() }
    })
    .await;
    if all.is_err() {
        assert_usable(&client, &mut server).await;
    }
    Ok(all?.entries.into_iter().map(|entry| entry.name).collect())
}

#[tokio::test(start_paused = true)]
async fn what_follows_is_sorted_and_told_once_and_an_answer_that_goes_nowhere_is_none() {
    let names = listed(async |server| {
        let id = server.request(Kind::List).await;
        for names in [["c", "a"], ["a", ".."], ["b", "x/y"]] {
            server.say(id, page(&names, false, Some(true))).await;
        }
        server.say(id, page(&["0"], false, None)).await;
    });
    assert_eq!(names.await.unwrap(), ["0", "a", "b", "c"]);
    let names = listed(async |server| {
        let id = server.request(Kind::List).await;
        server.say(id, page(&[], false, Some(true))).await;
    });
    assert!(matches!(names.await, Err(SessionError::Answer(Kind::Entries))));
    let names = listed(async |server| {
        let id = server.request(Kind::List).await;
        server.say(id, page(&["a"], true, None)).await;
    });
    assert!(matches!(names.await, Err(SessionError::Answer(Kind::Entries))));
}
