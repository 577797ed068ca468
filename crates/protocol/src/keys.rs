//! What a server signs about its keys (`docs/PROTOCOL.md` §9): the bytes, not the signatures.

use sealane_base::types::Pin;

/// Label of the TLS exporter whose 32 bytes bind a proof to one connection (RFC 8446 §7.5).
pub const EXPORTER: &[u8] = b"EXPORTER-sealane-keyprove";

const PROOF: &[u8] = b"sealane key-prove v1";
const STATEMENT: &[u8] = b"sealane key-statement v1";

/// What a key signs to prove, on this connection, that its owner announces it.
#[must_use]
pub fn proof(exporter: &[u8; 32], epoch: u64, public_key: &[u8]) -> Vec<u8> {
    [PROOF, exporter, &epoch.to_be_bytes(), public_key].concat()
}

/// What a backup key signs, offline: this list of keys and states, and no other, at this epoch.
#[must_use]
pub fn statement(epoch: u64, keys: &[(u8, Pin)]) -> Vec<u8> {
    let mut bytes = [STATEMENT, &epoch.to_be_bytes()].concat();
    for (state, pin) in keys {
        bytes.push(*state);
        bytes.extend_from_slice(pin.as_bytes());
    }
    bytes
}
