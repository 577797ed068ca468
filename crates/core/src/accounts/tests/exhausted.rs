//! A server without descriptors: nobody can be looked up, and nobody is blamed for it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::*;
use sealane_base::fsio::{FsError, FsErrorKind};
use sealane_base::types::Pin;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
/// More than are let by without a delay.
const MANY: usize = 40;

fn refusal(action: &'static str, errno: Errno) -> AccountError {
    FsError { action, path: PathBuf::from("ahpu.db"), kind: FsErrorKind::from(errno) }.into()
}

#[tokio::test]
async fn a_login_that_could_not_be_looked_at_is_not_a_failed_one() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "ahpu", MD5_OF_111111, &rest_of("ahpu"));
    let exhausted = Arc::new(AtomicBool::new(true));
    let is_exhausted = exhausted.clone();
    let store = Hooked {
        inner: DirectoryStore::open(dir.path()).unwrap(),
        after_load: move || match is_exhausted.load(Ordering::SeqCst) {
            true => Err(refusal("read", Errno::MFILE)),
            false => Ok(()),
        },
        before_swap: || Ok(()),
    };
    let logins = Authenticator::new(Arc::new(store), settings()).unwrap();
    let login = || logins.login_from(SOURCE, "ahpu", secret("111111"), Exposure::Loopback);
    let mut outcomes = Vec::new();
    for _ in 0..MANY {
        let before = logins.evaluations();
        outcomes.push(login().await);
        // It says nothing by its price either.
        assert_eq!(logins.evaluations() - before, 1);
    }
    // Each takes a tenth of a second, so they go side by side.
    let mut by_key = tokio::task::JoinSet::new();
    for _ in 0..MANY {
        let (logins, key) = (logins.clone(), Some(Pin::of_public_key(b"some")));
        by_key.spawn(async move {
            logins.login_with_key(SOURCE, "ahpu", key, Exposure::Loopback).await
        });
    }
    outcomes.extend(by_key.join_all().await);
    for outcome in outcomes {
        let Err(LoginError::Refused(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.is_passing() && !reason.is_damage(), "{reason}");
    }
    exhausted.store(false, Ordering::SeqCst);
    login().await.unwrap();
}

#[test]
fn only_a_want_of_descriptors_or_memory_passes() {
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
        assert!(RefusalReason::from(refusal("read", errno)).is_passing(), "{errno}");
    }
    for errno in [Errno::ACCESS, Errno::IO, Errno::LOOP, Errno::ISDIR] {
        let reason = RefusalReason::from(refusal("read", errno));
        assert!(!reason.is_passing() && reason.is_damage(), "{errno}");
    }
}
