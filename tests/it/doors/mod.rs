//! Every promise through every door: the same tests, over sealane/1 and over a second, trivial
//! protocol.

mod clients;
mod line;

use clients::{Client, DOORS, Door, MIB};
pub use line::Line;
use sealane_base::types::{Permission, Permissions, Username};
use sealane_core::accounts::{AccountKey, AccountManager};
use sealane_server::{Answer, Question};
use sealane_tls::Identity;

use crate::support::site::until;
use crate::support::{Service, names, noise, service::COST};

const USER: &str = "ann";

/// A server with an account of `quota` bytes.
async fn server(quota: u64) -> Service {
    let service = Service::start().await;
    service.account(USER, quota);
    service
}

async fn client(service: &Service, door: Door) -> Client {
    Client::log_in(service, door, USER, None).await.unwrap()
}

fn stored(service: &Service, name: &str) -> Vec<u8> {
    std::fs::read(service.home(USER).join(name)).unwrap()
}

fn partials(service: &Service) -> usize {
    let place = service.directory.path().join("data/partials").join(USER);
    names(&place).iter().filter(|name| name.ends_with(".part")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_back_as_they_went_and_are_listed() {
    for door in DOORS {
        let service = server(64 << 20).await;
        let mut ann = client(&service, door).await;
        ann.put("a", b"small").await.unwrap();
        ann.put("b", b"").await.unwrap();
        assert_eq!(ann.get("a").await.unwrap(), b"small", "{door:?}");
        assert_eq!(ann.list().await.unwrap(), ["a", "b"], "{door:?}");
        ann.get("missing").await.unwrap_err();
        Client::log_in(&service, door, "eve", None).await.err().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_to_the_byte_however_many_upload() {
    for door in DOORS {
        let quota = 10 * MIB as u64;
        let service = server(quota).await;
        let bytes = noise(4 * MIB, 1);
        // As long as it is here the home is open, and its ledger can be asked.
        let _watcher = client(&service, door).await;
        let (mut done, mut refused) = (0, 0);
        let mut sessions = Vec::new();
        for _ in 0..4 {
            sessions.push(client(&service, door).await);
        }
        let uploads = sessions.into_iter().enumerate().map(|(number, mut session)| {
            let (name, bytes) = (format!("f{number}"), &bytes);
            async move {
                let half = session.begin(&name, bytes).await?;
                session.finish(half).await
            }
        });
        for outcome in futures_in_turn(uploads).await {
            match outcome {
                Ok(()) => done += 1,
                Err(error) => {
                    assert!(error.to_lowercase().contains("quota"), "{door:?}: {error}");
                    refused += 1;
                }
            }
        }
        // Without sizes they may all begin, and none find room for its end.
        let least = usize::from(matches!(door, Door::Sealane));
        assert!((least..=2).contains(&done) && done + refused == 4, "{door:?}: {done}");
        let question = Question::CheckQuota { name: USER.to_owned(), repair: false };
        let Answer::Quota(Some(quota_status)) = service.ask(&question).await else { panic!() };
        assert_eq!((quota_status.drift, quota_status.reserved), (0, 0), "{door:?}");
        assert!(quota_status.used <= quota, "{door:?}: {quota_status:?}");
    }
}

/// Runs all of `work` at once.
async fn futures_in_turn<T>(work: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = work.map(Box::pin).collect();
    let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (one, result) in running.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(done) = one.as_mut().poll(context)
            {
                *result = Some(done);
            }
        }
        match results.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_it_may_and_nothing_else() {
    for door in DOORS {
        let service = server(64 << 20).await;
        client(&service, door).await.put("there", b"x").await.unwrap();
        for (permission, may) in [
            (Permission::Read, [true, false, false]),
            (Permission::Write, [false, true, false]),
            (Permission::List, [false, false, true]),
        ] {
            let made = sealane_tls::generate::key_pair(time::OffsetDateTime::now_utc());
            let made = made.unwrap();
            let (certificate, key) = (made.certificate_pem.as_bytes(), made.key_pem.expose());
            let identity = Identity::from_pem(certificate, key.as_bytes()).unwrap();
            let permissions = Permissions::of(&[permission]);
            let entry = AccountKey { permissions, ..AccountKey::new(made.pin, "".into(), None) };
            let manager = AccountManager::new(service.store.clone(), COST, Default::default());
            manager.unwrap().add_key(&Username::parse(USER).unwrap(), &entry).unwrap();
            let mut holder = Client::log_in(&service, door, USER, Some(&identity)).await.unwrap();
            let did = [
                holder.get("there").await.is_ok(),
                holder.put("new", b"y").await.is_ok(),
                holder.list().await.is_ok(),
            ];
            assert_eq!(did, may, "{door:?} with {permission:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_sessions_and_their_uploads_stay_as_partials() {
    for door in DOORS {
        let service = server(64 << 20).await;
        let (mut ann, bytes) = (client(&service, door).await, noise(3 * MIB, 2));
        let _half = ann.begin("f", &bytes).await.unwrap();
        let question = Question::Kill { id: None, name: Some(USER.to_owned()) };
        assert_eq!(service.ask(&question).await, Answer::Done(1), "{door:?}");
        ann.closed().await;
        until("the partial stays", || partials(&service) == 1);
        assert!(names(&service.home(USER)).is_empty(), "{door:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_not_good_any_more_ends_the_session() {
    for door in DOORS {
        let service = server(64 << 20).await;
        let ann = client(&service, door).await;
        let manager = AccountManager::new(service.store.clone(), COST, Default::default());
        manager.unwrap().set_disabled(&Username::parse(USER).unwrap(), true).unwrap();
        assert_eq!(service.ask(&Question::Recheck {}).await, Answer::Done(1), "{door:?}");
        ann.closed().await;
        Client::log_in(&service, door, USER, None).await.err().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_upload_to_a_name_takes_over_whichever_door_it_comes_by() {
    for (first, second) in
        [(Door::Sealane, Door::Line), (Door::Line, Door::Sealane), (Door::Line, Door::Line)]
    {
        let service = server(64 << 20).await;
        let (old, new) = (noise(3 * MIB, 3), noise(2 * MIB, 4));
        let (mut one, mut other) = (client(&service, first).await, client(&service, second).await);
        let half = one.begin("f", &old).await.unwrap();
        let begun = other.begin("f", &new).await.unwrap();
        let told = one.told(half).await.unwrap_err();
        assert!(told.to_lowercase().contains("newer upload"), "{first:?}: {told}");
        other.finish(begun).await.unwrap();
        assert!(stored(&service, "f") == new, "{first:?}, {second:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_version_stays_until_the_new_one_is_whole() {
    for door in DOORS {
        let service = server(64 << 20).await;
        let (mut writer, mut reader) = (client(&service, door).await, client(&service, door).await);
        writer.put("f", b"old").await.unwrap();
        let bytes = noise(2 * MIB, 5);
        let half = writer.begin("f", &bytes).await.unwrap();
        assert_eq!(reader.get("f").await.unwrap(), b"old", "{door:?}");
        drop((half, writer));
        until("the partial stays", || partials(&service) == 1);
        assert_eq!(reader.get("f").await.unwrap(), b"old", "a cut changes nothing: {door:?}");
        let mut again = client(&service, door).await;
        let half = again.begin("f", &bytes).await.unwrap();
        again.finish(half).await.unwrap();
        assert!(stored(&service, "f") == bytes, "{door:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_opens_so_many_sessions_over_all_doors() {
    let service = Service::with(Default::default(), 2, std::time::Duration::from_secs(30)).await;
    service.account(USER, 1 << 20);
    let _one = client(&service, Door::Sealane).await;
    let second = client(&service, Door::Line).await;
    for door in DOORS {
        let refused = Client::log_in(&service, door, USER, None).await.err().unwrap();
        assert!(refused.to_lowercase().contains("busy"), "{door:?}: {refused}");
    }
    drop(second);
    let free = async || Client::log_in(&service, Door::Line, USER, None).await.is_ok();
    let give_up = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !free().await {
        assert!(tokio::time::Instant::now() < give_up, "the place of a session that ended is free");
        tokio::task::yield_now().await;
    }
}
