//! Each step of a change of keys, when any call fails and when the power is cut anywhere: see
//! `fsio::rehearsal`. The server can start with what it finds, and its ring is that before or after
//! the step.

use std::cell::Cell;
use std::path::Path;

use time::{Duration, OffsetDateTime};

use super::key_files::directory_of;
use super::*;
use sealane_base::fsio::rehearsal::{State, Story, said};
use sealane_base::types::Pin;
use sealane_server::{KeyFiles, Keys};
use sealane_tls::trust::KeyRing;

fn files(top: &Path) -> CertificateFiles {
    let at = |name: &str| top.join("certs").join(name);
    CertificateFiles { certificate: at("server.crt"), key: at("server.key"), backup_pin: None }
}

/// The ring, with which the server has been started. Pins differ from run to run.
fn see(top: &Path) -> State {
    let files = files(top);
    let ring = KeyRing::load(directory_of(&files)).unwrap().unwrap();
    let mut text = format!("epoch {}, {} statements", ring.epoch, ring.statements.len());
    for key in &ring.keys {
        text.push_str(&format!(", {} {}", key.state.as_str(), key.serves));
    }
    let report = show(&files).unwrap();
    assert!(report.key_problem.is_none(), "{text}: {report:?}");
    Keys::load(KeyFiles { certificate: files.certificate, key: files.key }).unwrap();
    State::from([("ring".to_owned(), text.into_bytes())])
}

type Step<'s> = &'s dyn Fn(&CertificateFiles, OffsetDateTime) -> Result<Rotated, AdminError>;

/// Tells the last of `steps`, after the others.
fn story(name: &str, steps: &[Step<'_>]) {
    let (last, earlier) = steps.split_last().unwrap();
    let clock = Cell::new(OffsetDateTime::UNIX_EPOCH);
    let now = || {
        clock.set(clock.get() + Duration::MINUTE);
        clock.get()
    };
    Story {
        name,
        prepare: &|top| {
            generate(&top.join("certs"), now()).unwrap();
            for step in earlier {
                step(&files(top), now()).unwrap();
            }
        },
        act: &|top| said(last(&files(top), now())),
        see: &see,
        // One that is refused has swept before.
        sweep: &|top| {
            let nobody = Pin::of_public_key(b"no key of this server");
            revoke(&files(top), &nobody, None, now()).unwrap_err();
        },
        in_parts: false,
    }
    .tell();
}

#[test]
fn a_change_of_keys_under_faults() {
    let prepare: Step<'_> = &|files, now| prepare(files, None, now);
    let activate: Step<'_> = &|files, now| activate(files, None, now);
    let retire: Step<'_> = &|files, now| retire(files, None, now);
    story("prepare", &[prepare]);
    story("activate", &[prepare, activate]);
    story("retire", &[prepare, activate, retire]);
}

#[test]
fn the_end_of_a_stolen_or_lost_key_under_faults() {
    // Only the first time: what is in use afterwards is another key.
    let is_done = |files: &CertificateFiles| {
        let ring = KeyRing::load(directory_of(files)).unwrap();
        ring.is_some_and(|ring| ring.epoch > 1)
    };
    let done = || Err(AdminError::Rotation("done already".to_owned()));
    let revoke: Step<'_> = &|files, now| match is_done(files) {
        true => done(),
        false => revoke(files, &pins(files)?.server, None, now),
    };
    story("revoke", &[revoke]);
    let recover: Step<'_> = &|files, now| match is_done(files) {
        true => done(),
        false => recover(files, None, now),
    };
    story("recover", &[recover]);
}
