//! Changes of records, when any call fails and when the power is cut anywhere: see
//! `fsio::rehearsal`.

use std::path::Path;

use super::name;
use crate::accounts::{AccountError, AccountStore, DirectoryStore, Record};
use sealane_base::fsio::rehearsal::{State, Story, said};

fn open(directory: &Path) -> DirectoryStore {
    DirectoryStore::open(directory).unwrap()
}

/// Every record, each of which can be used.
fn see(directory: &Path) -> State {
    let store = open(directory);
    let listing = store.list().unwrap();
    assert_eq!(listing.strangers, Vec::<String>::new());
    let record = |name| store.load(name).unwrap().unwrap().to_bytes();
    listing.names.iter().map(|name| (name.to_string(), record(name))).collect()
}

fn story(title: &str, act: impl Fn(&DirectoryStore) -> Result<(), AccountError>) {
    Story {
        name: title,
        prepare: &|directory| {
            for account in ["ann", "bob"] {
                let record = Record::new(&name(account), "old password", 7, "homes/x");
                open(directory).create(&record).unwrap();
            }
        },
        act: &|directory| said(DirectoryStore::open(directory).and_then(|store| act(&store))),
        see: &see,
        sweep: &|_| {},
        in_parts: false,
    }
    .tell();
}

#[test]
fn a_change_of_a_record_under_faults() {
    story("update", |store| store.update(&name("bob"), &mut |record| record.set_quota(9)));
}

#[test]
fn an_upgrade_of_a_record_under_faults() {
    story("upgrade", |store| {
        match store.compare_and_swap_password(&name("bob"), "old password", "new")? {
            true => Ok(()),
            false => Err(AccountError::NotFound(name("bob"))),
        }
    });
}

#[test]
fn accounts_that_come_and_go_under_faults() {
    let record = Record::new(&name("cleo"), "password", 1, "homes/cleo");
    story("create", |store| store.create(&record));
    story("remove", |store| store.remove(&name("ann")));
}
