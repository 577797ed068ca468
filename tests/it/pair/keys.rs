//! Sessions that a key has logged in: what opens, what does not, and what each key may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealane_base::types::{Network, Permission, Permissions, Pin, RemotePath, Username};
use sealane_core::accounts::{AccountError, AccountKey, AccountStore, Listing, Record};
use sealane_protocol::message::{Accepted, Enroll, PartialsAre};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side, Status};

use super::greeting::sample;
use crate::support::pair::USER;
use crate::support::peer::{self, login, status, still};
use crate::support::site::PASSWORD;
use crate::support::{Pair, noise};

fn pin(name: &str) -> Pin {
    Pin::of_public_key(name.as_bytes())
}

fn user() -> Username {
    Username::parse(USER).unwrap()
}

fn with(pair: &Pair, change: impl FnOnce(&mut AccountKey)) -> Pin {
    let mut key = AccountKey::new(pin("k"), "laptop".into(), None);
    change(&mut key);
    let _ = pair.manager.revoke_key(&user(), &key.pin);
    pair.manager.add_key(&user(), &key).unwrap();
    key.pin
}

/// What a verb needs. A new one without a line here does not compile.
fn needs(message: &ClientMessage) -> Option<Permission> {
    match message {
        ClientMessage::Hello(_)
        | ClientMessage::Login(_)
        | ClientMessage::Enroll(_)
        | ClientMessage::Join(_)
        | ClientMessage::Tokens(_) => None,
        ClientMessage::Get(_) | ClientMessage::DigestOf(_) | ClientMessage::ReceiptOf(_) => {
            Some(Permission::Read)
        }
        ClientMessage::List(_)
        | ClientMessage::Stat(_)
        | ClientMessage::Usage(_)
        | ClientMessage::Partials(_) => Some(Permission::List),
        ClientMessage::Put(_)
        | ClientMessage::PutSmall(..)
        | ClientMessage::MakeDirectory(_)
        | ClientMessage::Remove(_)
        | ClientMessage::Rename(_)
        | ClientMessage::SetMeta(_)
        | ClientMessage::DiscardPartial(_) => Some(Permission::Write),
    }
}

fn requests() -> Vec<(Kind, Permission)> {
    let from_clients = Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Client));
    let messages = from_clients.filter_map(|&kind| {
        let frame = sample(kind, 3);
        let header = Header::decode(frame[..10].try_into().unwrap(), Side::Client).unwrap();
        let message = ClientMessage::decode(header.kind, &frame[10..]).ok()?;
        Some((kind, needs(&message)?))
    });
    messages.collect()
}

#[tokio::test]
async fn every_verb_is_done_with_its_permission_and_only_with_it() {
    let pair = Pair::new();
    assert_eq!(requests().len(), 14);
    // An entry that allows nothing cannot be written down; `storage` has a test of it.
    for bits in 1..8 {
        let all = Permission::ALL.into_iter().enumerate();
        let set: Vec<_> = all.filter(|(at, _)| bits >> at & 1 == 1).map(|(_, one)| one).collect();
        for root in ["", "part"] {
            for (kind, needed) in requests() {
                let _ = std::fs::create_dir(pair.home().join("part"));
                for place in ["keep", "part/keep"] {
                    pair.file(place, b"kept");
                }
                let key = with(&pair, |key| {
                    key.permissions = Permissions::of(&set);
                    key.root = RemotePath::parse(root).unwrap();
                });
                let (mut peer, answer) = pair.with_key(USER, Some(key)).await;
                assert!(matches!(answer, ServerMessage::LoggedIn(_)), "{answer:?}");
                peer.send(&sample(kind, 3)).await;
                let answer = peer.answer_to(3).await;
                let forbidden = status(&answer) == Some(Status::Forbidden);
                // A receipt names a path of the account, so it is for those who see all of it.
                let may = set.contains(&needed) && (kind != Kind::ReceiptOf || root.is_empty());
                assert_eq!(forbidden, !may, "{kind:?} with {set:?}: {answer:?}");
                drop(peer);
                for new in ["new", "part/new"] {
                    let _ = std::fs::remove_file(pair.home().join(new));
                    let _ = std::fs::remove_dir(pair.home().join(new));
                }
            }
        }
    }
}

#[tokio::test]
async fn one_who_may_only_write_is_told_no_digest() {
    let pair = Pair::new();
    let bytes = noise(5 << 20, 1);
    pair.file("secret", &bytes);
    for (permissions, claims) in [("write", false), ("write,list", false), ("read,write", true)] {
        let key = with(&pair, |key| key.permissions = Permissions::parse(permissions).unwrap());
        let (mut peer, _) = pair.with_key(USER, Some(key)).await;
        let answer = peer.exchange(peer::put("secret", bytes.len())).await;
        let ServerMessage::Accepted(Accepted { claims: told, .. }) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(told, claims, "{permissions}");
    }
}

#[tokio::test]
async fn partials_and_files_outside_of_the_part_do_not_exist() {
    let pair = Pair::new();
    pair.file("secret", b"secret");
    let key = with(&pair, |key| key.root = RemotePath::parse("part").unwrap());
    let mut owner = pair.logged_in().await;
    owner.exchange(peer::put("top", 5 << 20)).await;
    let (mut peer, _) = pair.with_key(USER, Some(key)).await;
    for request in [peer::stat("secret"), peer::stat("part/secret"), peer::get("secret", false)] {
        let answer = peer.exchange(request).await;
        assert_eq!(status(&answer), Some(Status::NotFound), "{answer:?}");
    }
    for request in [peer::stat("../secret"), peer::rename("..", "x"), peer::remove("a/../..")] {
        assert_eq!(status(&peer.exchange(request).await), Some(Status::Path));
    }
    let none = ServerMessage::PartialsAre(PartialsAre::default());
    let all = ClientMessage::Partials(Default::default());
    assert_eq!(peer.exchange(all).await, none);
    assert!(pair.home().join("secret").exists());
}

#[tokio::test(start_paused = true)]
async fn a_key_logs_in_without_argon2_and_a_refusal_says_and_takes_the_same() {
    let pair = Pair::new();
    let key = with(&pair, |_| {});
    let (_, answer) = pair.with_key(USER, Some(key)).await;
    assert!(matches!(answer, ServerMessage::LoggedIn(_)), "{answer:?}");
    let mut refusals = Vec::new();
    for (name, shown) in [
        (USER, None),
        (USER, Some(pin("another"))),
        ("nobody", Some(key)),
        ("../ann", Some(key)),
        ("", Some(key)),
    ] {
        let begun = tokio::time::Instant::now();
        let (peer, answer) = pair.with_key(name, shown).await;
        refusals.push((begun.elapsed(), format!("{answer:?}")));
        assert_eq!(status(&answer), Some(Status::KeyRefused));
        peer.closed().await.unwrap();
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(refusals[0].0, Duration::from_millis(100));
    assert_eq!(pair.evaluations(), 0);
}

#[tokio::test]
async fn conditions_of_an_entry_hold() {
    let pair = Pair::new();
    let network = |text: &str| vec![Network::parse(text).unwrap()];
    let refused = |answer: &ServerMessage| status(answer) == Some(Status::KeyRefused);
    for (from, refuses) in [("127.0.0.0/8", false), ("192.0.2.0/24", true)] {
        let key = with(&pair, |key| key.from = network(from));
        assert_eq!(refused(&pair.with_key(USER, Some(key)).await.1), refuses, "{from}");
    }
    for (last, refuses) in [("2000-01-01", true), ("9999-12-31", false)] {
        let key = with(&pair, |key| key.expires = sealane_base::types::day::parse(last));
        assert_eq!(refused(&pair.with_key(USER, Some(key)).await.1), refuses, "{last}");
    }
    let key = with(&pair, |_| {});
    pair.manager.set_disabled(&user(), true).unwrap();
    assert!(refused(&pair.with_key(USER, Some(key)).await.1));
}

#[tokio::test(start_paused = true)]
async fn refused_keys_are_slowed_down_and_good_ones_are_not() {
    let pair = Pair::new();
    let key = with(&pair, |_| {});
    let (_, answer) = pair.with_key(USER, Some(key)).await;
    assert!(matches!(answer, ServerMessage::LoggedIn(_)));
    // Wrong passwords until that source must wait.
    let mut last = None;
    for _ in 0..6 {
        let _still = still();
        let mut peer = pair.peer();
        peer.send(&[peer::hello(1), login(2, "wrong")].concat()).await;
        peer.answer_to(1).await;
        last = status(&peer.answer_to(2).await);
    }
    assert_eq!(last, Some(Status::TooManyFailures));
    let mut said = Vec::new();
    for number in 0..5 {
        let (_, answer) = pair.with_key(USER, Some(pin(&number.to_string()))).await;
        said.push(status(&answer).unwrap());
    }
    let (refused, slowed) = (Status::KeyRefused, Status::TooManyFailures);
    assert_eq!(said, [refused, refused, refused, refused, slowed]);
    let (_, answer) = pair.with_key(USER, Some(key)).await;
    assert!(matches!(answer, ServerMessage::LoggedIn(_)), "{answer:?}");
}

#[tokio::test]
async fn only_a_password_enrols_and_only_the_key_that_was_proved() {
    let pair = Pair::new();
    let enroll = || ClientMessage::Enroll(Enroll { comment: Some("mine".into()) });
    let with_password = async |key| {
        let (stream, served) = pair.connect_showing(1 << 16, key);
        let mut peer = peer::Peer::new(stream, Side::Server, Some(served));
        peer.send(&[peer::hello(1), login(2, PASSWORD)].concat()).await;
        peer.answer_to(1).await;
        assert!(matches!(peer.answer_to(2).await, ServerMessage::LoggedIn(_)));
        peer
    };
    let refused = |answer: ServerMessage, why: &str| {
        let ServerMessage::Refused(refused) = answer else { panic!("{answer:?}") };
        assert_eq!(refused.status(), Status::NotEnrolled);
        assert!(refused.text.contains(why), "{refused:?}");
    };
    let mut keyless = with_password(None).await;
    refused(keyless.exchange(enroll()).await, "showed no key");
    let mut shown = with_password(Some(pin("a"))).await;
    let long = ClientMessage::Enroll(Enroll { comment: Some("x".repeat(129)) });
    refused(shown.exchange(long).await, "at most 128 bytes");
    assert!(matches!(shown.exchange(enroll()).await, ServerMessage::Done(_)));
    let entered = pair.manager.show(&user()).unwrap().keys;
    assert_eq!(entered[0].as_ref().unwrap().pin, pin("a"));
    refused(shown.exchange(enroll()).await, "is there already");
    assert_eq!(pair.manager.show(&user()).unwrap().keys, entered);

    let (mut by_key, _) = pair.with_key(USER, Some(pin("a"))).await;
    refused(by_key.exchange(enroll()).await, "only a login with a password");
    assert_eq!(pair.manager.show(&user()).unwrap().keys, entered);
}

#[tokio::test]
async fn a_key_opens_the_accounts_that_have_it_and_no_sample_account() {
    let pair = Pair::new();
    let key = with(&pair, |_| {});
    let other = AccountKey::new(pin("other"), String::new(), None);
    let samples = r#"{"username": "ahpu", "password": "96e79218965eb72c92a549dd5a330112", "limitsize": 1, "homepath": "homes/ahpu"}"#;
    std::fs::write(pair.directory.path().join("accounts/ahpu.db"), samples).unwrap();
    let ahpu = Username::parse("ahpu").unwrap();
    pair.manager.add_key(&ahpu, &other).unwrap();
    // The one server of these tests can be reached from other machines.
    for shown in [key, other.pin] {
        let (_, answer) = pair.with_key("ahpu", Some(shown)).await;
        assert_eq!(status(&answer), Some(Status::KeyRefused));
    }
    let (_, answer) = pair.with_key(USER, Some(other.pin)).await;
    assert_eq!(status(&answer), Some(Status::KeyRefused));
    pair.manager.add_key(&user(), &other).unwrap();
    for shown in [key, other.pin] {
        let (_, answer) = pair.with_key(USER, Some(shown)).await;
        assert!(matches!(answer, ServerMessage::LoggedIn(_)), "{answer:?}");
    }
}

/// Shows the record as it is, and removes its keys just after somebody has looked.
#[derive(Debug)]
struct RevokedMeanwhile {
    inner: Arc<dyn AccountStore>,
    looks: AtomicUsize,
}

impl AccountStore for RevokedMeanwhile {
    fn load(&self, name: &Username) -> Result<Option<Record>, AccountError> {
        let mut record = self.inner.load(name)?;
        if self.looks.fetch_add(1, Ordering::Relaxed) > 0 {
            record.iter_mut().for_each(|record| assert!(record.revoke_key(&pin("k"))));
        }
        Ok(record)
    }

    fn compare_and_swap_password(
        &self,
        name: &Username,
        expected: &str,
        new: &str,
    ) -> Result<bool, AccountError> {
        self.inner.compare_and_swap_password(name, expected, new)
    }

    fn rename(
        &self,
        old: &Username,
        new: &Username,
        change: &mut dyn FnMut(&Record) -> Record,
    ) -> Result<(), AccountError> {
        self.inner.rename(old, new, change)
    }

    fn update(
        &self,
        name: &Username,
        change: &mut dyn FnMut(&mut Record),
    ) -> Result<(), AccountError> {
        self.inner.update(name, change)
    }

    fn place(&self, name: &Username) -> String {
        self.inner.place(name)
    }

    fn create(&self, record: &Record) -> Result<(), AccountError> {
        self.inner.create(record)
    }

    fn remove(&self, name: &Username) -> Result<(), AccountError> {
        self.inner.remove(name)
    }

    fn list(&self) -> Result<Listing, AccountError> {
        self.inner.list()
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_while_it_logs_in_does_not() {
    let pair = Pair::over(|inner| Arc::new(RevokedMeanwhile { inner, looks: AtomicUsize::new(0) }));
    let key = with(&pair, |_| {});
    let (_, answer) = pair.with_key(USER, Some(key)).await;
    assert_eq!(status(&answer), Some(Status::KeyRefused));
}
