//! The file of known servers, when any call fails and when the power is cut anywhere: see
//! `fsio::rehearsal`.

use super::*;
use sealane_base::fsio::rehearsal::{Story, said};
use sealane_base::types::{Pin, PinSet};

#[test]
fn a_change_of_known_servers_under_faults() {
    let add = |store: &Store, server: &str| {
        let pins = PinSet::new(vec![Pin::of_public_key(server.as_bytes())]).unwrap();
        let host_port = HostPort::parse(server).unwrap();
        store.update(|known| known.add(&host_port, &pins, Source::Address, 1_770_000_000))
    };
    let store = |top: &std::path::Path| Store::new(Some(top.join("made/sealane")));
    let told = |name, has_one: bool| {
        Story {
            name,
            prepare: &|top| {
                if has_one {
                    add(&store(top), "one:1").unwrap();
                }
            },
            act: &|top| said(add(&store(top), "two:2")),
            see: &|top| {
                let known = store(top).load().unwrap();
                let server = |server: &KnownServer| {
                    (server.host_port.to_string(), format!("{server:?}").into_bytes())
                };
                known.iter().map(server).collect()
            },
            sweep: &|_| {},
            in_parts: false,
        }
        .tell();
    };
    told("first server", false);
    told("second server", true);
}
