//! Requests that leave together with the login: they count if it succeeds, and never happened if it
//! does not.

use sealane_base::types::Secret;
use sealane_client::Client;
use sealane_client::session::{OnLogin, Session, SessionError, SessionSettings};
use sealane_protocol::message::{LoggedIn, Refused, Welcome};
use sealane_protocol::transfer::Meter;
use sealane_protocol::wire::WireError;
use sealane_protocol::{Kind, ServerMessage, Side, Status};
use sealane_server::sealane::Ended;
use tokio::io::{DuplexStream, duplex};

use super::greeting::sample;
use super::liar::path;
use crate::support::pair::{USER, whole};
use crate::support::peer::{
    self, Peer, hello, login, make_directory, put_small, soon, status, still,
};
use crate::support::site::PASSWORD;
use crate::support::{Pair, names};

const PIPE: usize = 64 << 10;

async fn begin(stream: DuplexStream, password: &str, on_login: Option<OnLogin>) -> Client {
    let (settings, password) = (SessionSettings::default(), Secret::new(password.to_owned()));
    Client::new(Session::begin(stream, settings, USER, Some(&password), on_login).await, None)
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_with_the_login_is_answered_after_it() {
    let (pair, _still) = (Pair::new(), still());
    let (stream, _served) = pair.connect(PIPE);
    let client = begin(stream, PASSWORD, None).await;
    let asked = client.clone();
    let made = tokio::spawn(async move { asked.make_directory(&path("new"), false).await });
    soon(client.logged_in()).await.unwrap();
    soon(made).await.unwrap().unwrap();
    assert_eq!(names(&pair.home()), ["new"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_what_is_done_about_the_login() {
    let (near, far) = duplex(PIPE);
    let mut server = Peer::new(far, Side::Client, None);
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let wait: OnLogin = Box::new(|_| Box::pin(async { released.await.unwrap() }));
    let client = begin(near, PASSWORD, Some(wait)).await;
    let asking = tokio::spawn(async move { client.make_directory(&path("new"), false).await });
    server.request(Kind::MakeDirectory).await;
    server.send(&[welcome(), logged_in(), sample(Kind::Done, 3)].concat()).await;
    // All of it is there, and nothing but this task has anything to wait for.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!asking.is_finished());
    release.send(()).unwrap();
    soon(asking).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_with_a_refused_login_never_happens_and_fails_with_its_error() {
    let (pair, _still) = (Pair::new(), still());
    pair.file("keep", b"kept");
    let (stream, served) = pair.connect(PIPE);
    let client = begin(stream, "wrong", None).await;
    let (making, removing, sending) = (client.clone(), client.clone(), client.clone());
    let asked = [
        tokio::spawn(async move { making.make_directory(&path("new"), false).await }),
        tokio::spawn(async move { removing.remove(&path("keep"), true).await }),
        tokio::spawn(async move {
            let meter = Meter::default();
            sending.upload_whole(&path("file"), whole(vec![7; 1 << 20]), &meter).await.map(drop)
        }),
    ];
    for asked in asked {
        let refused = soon(asked).await.unwrap().unwrap_err();
        assert_eq!(refused.status(), Some(Status::LoginRefused));
    }
    // So does what is asked later, and it is known why.
    let refused = soon(client.usage()).await.unwrap_err();
    assert_eq!(refused.status(), Some(Status::LoginRefused));
    assert_eq!(client.failure().unwrap().to_string(), refused.to_string());
    assert!(soon(client.logged_in()).await.is_err());
    soon(client.close()).await;
    assert_eq!(soon(served).await.unwrap().unwrap(), Ended::NotLoggedIn);
    assert_eq!(names(&pair.home()), ["keep"]);
    assert!(pair.partials().is_empty());
}

/// Whatever is behind a refused login is read, so that the refusal is not lost with a reset
/// connection, and dropped.
#[tokio::test(start_paused = true)]
async fn a_server_hears_out_whom_it_refused_and_does_nothing_of_it() {
    let (pair, _still) = (Pair::new(), still());
    let mut peer = pair.peer();
    peer.send(&[hello(1), login(2, "wrong")].concat()).await;
    assert_eq!(status(&peer.answer_to(2).await), Some(Status::LoginRefused));
    // More than the pipe holds, so that it must be taken.
    for id in 3..6 {
        peer.send(&put_small("file", &vec![7; PIPE]).encode(id)).await;
    }
    peer.send(&make_directory("new").encode(6)).await;
    assert!(!peer.is_over());
    assert_eq!(peer.closed().await.unwrap(), Ended::NotLoggedIn);
    assert!(names(&pair.home()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_was_refused_and_does_not_go_is_not_heard_for_ever() {
    let pair = Pair::new();
    let mut peer = pair.peer();
    let held = still();
    peer.send(&[hello(1), login(2, "wrong")].concat()).await;
    assert_eq!(status(&peer.answer_to(2).await), Some(Status::LoginRefused));
    drop(held);
    assert_eq!(peer.ended().await.unwrap(), Ended::NotLoggedIn);
}

fn welcome() -> Vec<u8> {
    ServerMessage::Welcome(peer::welcome()).encode(1)
}

fn logged_in() -> Vec<u8> {
    ServerMessage::LoggedIn(LoggedIn { user: USER.to_owned() }).encode(2)
}

/// What a client makes of a server that says `frames` to its login and to a request that came with
/// it, which fails with the same error.
async fn heard(frames: &[u8]) -> Result<(), SessionError> {
    let (near, far) = duplex(PIPE);
    let mut server = Peer::new(far, Side::Client, None);
    let client = begin(near, PASSWORD, None).await;
    let asked = client.clone();
    let asking = tokio::spawn(async move { asked.usage().await });
    server.request(Kind::Usage).await;
    server.send(frames).await;
    let heard = soon(client.logged_in()).await;
    match &heard {
        Ok(()) => assert!(!asking.is_finished()),
        Err(error) => {
            let failed = soon(asking).await.unwrap().unwrap_err();
            assert_eq!(failed.to_string(), error.to_string());
        }
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_before_it_has_said_yes_breaks_the_protocol() {
    for kind in Kind::ALL.iter().copied().filter(|kind| kind.sender() != Some(Side::Client)) {
        if matches!(kind, Kind::Ping | Kind::Pong | Kind::Keys | Kind::Join | Kind::Joined) {
            continue;
        }
        let error = heard(&[welcome(), sample(kind, 3), logged_in()].concat()).await.unwrap_err();
        let SessionError::Connection(why) = &error else { panic!("{kind:?}: {error:?}") };
        assert!(matches!(**why, WireError::Frame(_)), "{kind:?}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_yes_without_a_welcome_or_a_wrong_answer_is_none() {
    for wrong in [logged_in(), sample(Kind::Done, 1), sample(Kind::Done, 2)] {
        assert!(matches!(heard(&wrong).await, Err(SessionError::Answer(_))));
    }
    for id in [1, 2] {
        let refused = ServerMessage::Refused(Refused::new(Status::Busy)).encode(id);
        assert_eq!(heard(&refused).await.unwrap_err().status(), Some(Status::Busy));
    }
    heard(&[welcome(), logged_in()].concat()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_of_another_version_is_left() {
    for version in [0, 2, u64::MAX] {
        let other = Welcome { version, ..peer::welcome() };
        let frames = [ServerMessage::Welcome(other).encode(1), logged_in()].concat();
        let error = heard(&frames).await.unwrap_err();
        assert_eq!(error.status(), Some(Status::Version), "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn features_of_a_server_that_are_not_known_are_passed_over() {
    for features in [vec![], vec![1, u64::MAX]] {
        let more = Welcome { features: Some(features), ..peer::welcome() };
        heard(&[ServerMessage::Welcome(more).encode(1), logged_in()].concat()).await.unwrap();
    }
}
