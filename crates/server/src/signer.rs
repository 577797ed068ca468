//! What signs receipts: the server's keys and its clock. What is signed is for `verbs::receipt`.

use std::sync::Arc;

use sealane_base::types::Pin;
use sealane_tls::Identity;

/// The keys a server has, and what time it is there.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The one in use comes first.
    pub keys: Arc<[Identity]>,
    /// Seconds since 1970 UTC.
    pub now: fn() -> u64,
}

impl Signer {
    /// The key with this pin, else the one in use.
    pub(super) fn key(&self, pin: Option<&[u8]>) -> Option<&Identity> {
        let wanted = |key: &&Identity| pin.is_some_and(|pin| Pin::as_bytes(&key.pin()) == pin);
        self.keys.iter().find(wanted).or_else(|| self.keys.first())
    }
}
