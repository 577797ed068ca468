//! What is taken back ends at once, whoever took it back and however.

use std::sync::Arc;

use sealane_base::files::{FileMeta, Source};
use sealane_base::types::{RemotePath, Secret};
use sealane_client::Client;
use sealane_client::ConnectError;
use sealane_client::session::SessionError;
use sealane_protocol::Status;
use sealane_protocol::transfer::Meter;

use super::World;
use crate::support::held::{Held, LetGo};
use crate::support::peer::soon;
use crate::support::service::{connect, connect_with_key};
use crate::support::site::{PASSWORD, until};
use crate::support::{fails, ok, result, stdout};

fn status_of(error: &ConnectError) -> Option<Status> {
    match error {
        ConnectError::Session(error) => error.status(),
        _ => None,
    }
}

fn sessions(world: &World) -> Vec<serde_json::Value> {
    let status = result(&ok(world.site.admin(["status", "--json"])));
    let sessions = status["sessions"].as_array().unwrap().clone();
    sessions.into_iter().filter(|session| session["account"] == "ann").collect()
}

async fn by_key(world: &World) -> Arc<Client> {
    Arc::new(connect_with_key(&world.target(), &world.identity()).await.unwrap())
}

async fn by_password(world: &World) -> Client {
    connect(&world.target(), &Secret::new(PASSWORD.to_owned())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_key_ends_its_live_transfer_and_nobody_elses_session() {
    let world = World::enrolled();
    let before = world.evaluations();
    let (client, other) = (by_key(&world).await, by_password(&world).await);
    assert_eq!(world.evaluations(), before + 1);
    let keys: Vec<_> = sessions(&world).iter().map(|one| one["key"].clone()).collect();
    assert_eq!(keys, ["laptop".into(), serde_json::Value::Null]);
    assert!(stdout(&ok(world.site.admin(["status"]))).contains("laptop"));

    let source = Held::new(16 << 20);
    let let_go = LetGo(source.clone());
    let (sending, meter) = (client.clone(), Arc::new(Meter::default()));
    let (from, counted): (Arc<dyn Source>, _) = (source.clone(), meter.clone());
    let upload = tokio::spawn(async move {
        let path = RemotePath::parse("f").unwrap();
        sending.upload(&path, from, FileMeta::default(), counted).await
    });
    until("a transfer", || sessions(&world).iter().any(|session| session["transfers"] == 1));
    let pin = world.pin();
    ok(world.site.admin(["account", "key", "revoke", "ann", &pin]));
    let gone = soon(client.usage()).await;
    assert!(matches!(gone, Err(SessionError::Connection(_))), "{gone:?}");
    drop(let_go);
    soon(upload).await.unwrap().unwrap_err();
    assert!(!world.site.home("ann").join("f").exists());
    other.usage().await.unwrap();
    until("the session's end", || sessions(&world).len() == 1);

    let refused = connect_with_key(&world.target(), &world.identity()).await.unwrap_err();
    assert_eq!(status_of(&refused), Some(Status::KeyRefused));
    let again = world.site.admin(["account", "key", "revoke", "ann", &pin]);
    fails(again, 3, "does not have the key");
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_or_removing_an_account_ends_all_its_sessions() {
    let world = World::enrolled();
    for step in [["account", "disable", "ann"], ["account", "remove", "ann"]] {
        let (keyed, typed) = (by_key(&world).await, by_password(&world).await);
        ok(world.site.admin(step));
        keyed.usage().await.unwrap_err();
        typed.usage().await.unwrap_err();
        let refused = connect_with_key(&world.target(), &world.identity()).await.unwrap_err();
        assert_eq!(status_of(&refused), Some(Status::KeyRefused));
        if step[1] == "disable" {
            ok(world.site.admin(["account", "enable", "ann"]));
        }
    }
}

/// Nobody tells the server: it looks by itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_in_the_record_by_hand_counts_too() {
    let world = World::with(|c| c.replace("\nrecheck_seconds = 30", "\nrecheck_seconds = 1"));
    ok(world.person.run(["key", "generate"]));
    ok(world.person.run(["key", "enroll", "work"]));
    let record = std::fs::read_to_string(world.record()).unwrap();
    let all = "\"permissions\":\"read,write,list\"";
    for changed in [
        record.replace(all, "\"permissions\":\"read,list\""),
        record.replace(all, &format!("\"expires\":\"2000-01-01\",{all}")),
        record.replace(all, &format!("\"from\":[\"192.0.2.0/24\"],{all}")),
        record.replace(all, &format!("\"form\":[\"192.0.2.0/24\"],{all}")),
        record.replace("\"keys\":", "\"kees\":"),
    ] {
        assert_ne!(changed, record);
        let (keyed, typed) = (by_key(&world).await, by_password(&world).await);
        std::fs::write(world.record(), &changed).unwrap();
        until("the session's end", || sessions(&world).len() == 1);
        keyed.usage().await.unwrap_err();
        typed.usage().await.unwrap();
        typed.close().await;
        std::fs::write(world.record(), &record).unwrap();
        until("nobody is there", || sessions(&world).is_empty());
    }
}
