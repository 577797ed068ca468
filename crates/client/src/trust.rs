//! Which keys a server may have this time, and what is remembered once it has proved one.
//!
//! Pins that were given come before the address, and that before the known servers. A key that is
//! known as revoked, of this server or of another, is refused, whatever names it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::dial::{self, ConnectError};
use crate::prompts::{Event, Prompts};
use sealane_base::types::{Address, Pin, PinSet};
use sealane_tls::trust::{
    Announced, HostPort, KnownServer, NotLearned, Source, State, Store, TrustError,
};

/// What decides which keys are trusted.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The known servers.
    pub store: Store,
    /// If there are any, these keys only are accepted, and nothing is remembered.
    pub pins: Vec<Pin>,
    /// Trusts an unknown server's key on first use. A changed key is still rejected.
    pub accept_new: bool,
}

/// The keys that are accepted, and how the server becomes known.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) pins: PinSet,
    store: Store,
    known: Option<KnownServer>,
    host_port: HostPort,
    /// How the server becomes known once it has proved itself, if it does.
    remember: Option<Source>,
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Trust {
    /// Decides which keys the server of `address` may have; asks, if it is not known and somebody
    /// can be asked.
    pub(crate) async fn decide(
        &self,
        address: &Address,
        prompts: &Arc<dyn Prompts>,
    ) -> Result<Trusted, ConnectError> {
        let host_port = HostPort::of(address);
        let stored = self.store.load()?;
        let known = stored.find(&host_port)?.cloned();
        let given = if self.pins.is_empty() { &address.pins } else { &self.pins };
        let (pins, remember) = match (&known, given.is_empty()) {
            (_, false) => {
                let is_new = self.accept_new && known.is_none() && self.pins.is_empty();
                (self.given_keys(address, known.as_ref()), is_new.then_some(Source::Address))
            }
            (Some(known), true) => (known.pins(), None),
            (None, true) => {
                let (pin, source) = self.first_contact(&host_port, prompts).await?;
                (PinSet::new(vec![pin]), Some(source))
            }
        };
        // The same server may be known by another name, and the key stolen there.
        let pins = pins.iter().flat_map(PinSet::iter).filter(|pin| !stored.is_revoked(pin));
        let pins = PinSet::new(pins.copied().collect()).ok_or(ConnectError::Revoked)?;
        Ok(Trusted { pins, store: self.store.clone(), known, host_port, remember })
    }

    /// The keys that were given, or those of the address. An address that names a key of a known
    /// server means that server: what was learned of it since counts as well.
    fn given_keys(&self, address: &Address, known: Option<&KnownServer>) -> Option<PinSet> {
        let state = |pin: &Pin| known.and_then(|known| known.key(pin)).map(|key| key.state);
        if !self.pins.is_empty() {
            let pins = self.pins.iter().filter(|pin| state(pin) != Some(State::Revoked));
            return PinSet::new(pins.copied().collect());
        }
        let current = |pin: &&Pin| state(pin).is_none_or(State::is_accepted);
        let mut pins: Vec<_> = address.pins.iter().filter(current).copied().collect();
        if address.pins.iter().any(|pin| state(pin).is_some_and(|state| state != State::Revoked)) {
            let learned = known.and_then(KnownServer::pins);
            let learned: Vec<_> = learned.iter().flat_map(PinSet::iter).copied().collect();
            pins.splice(0..0, learned);
        }
        PinSet::new(pins)
    }

    /// The key of an unknown server, and how it came to be trusted: a person compares it, or
    /// `accept_new` believes it; else nothing is sent at all.
    ///
    /// # Errors
    /// [`ConnectError::Unknown`], [`ConnectError::NotConfirmed`]; those of reaching the server.
    pub async fn first_contact(
        &self,
        host_port: &HostPort,
        prompts: &Arc<dyn Prompts>,
    ) -> Result<(Pin, Source), ConnectError> {
        if !self.accept_new && !prompts.can_confirm() {
            return Err(ConnectError::Unknown);
        }
        let pin = dial::look(host_port.host(), host_port.port()).await?;
        if self.accept_new {
            return Ok((pin, Source::FirstContact));
        }
        let (asking, server) = (prompts.clone(), host_port.to_string());
        let answer = tokio::task::spawn_blocking(move || asking.confirm(&server, &pin)).await;
        let answer = answer.unwrap_or_default();
        match is_beginning_of(&answer, &pin) {
            true => Ok((pin, Source::Typed)),
            false => Err(ConnectError::NotConfirmed(answer)),
        }
    }
}

/// True for the first eight characters of the key, or more of them.
fn is_beginning_of(answer: &str, pin: &Pin) -> bool {
    let text = pin.to_string();
    let digits = text.strip_prefix("sha256//").unwrap_or_default();
    answer.len() >= 8 && digits.starts_with(answer)
}

impl Trusted {
    /// `host:port` of the server.
    pub(crate) fn server(&self) -> String {
        self.host_port.to_string()
    }

    /// Stores what is to be remembered, now that the server has proved `pin`.
    pub(crate) fn proved(&self, pin: Pin, prompts: &dyn Prompts) -> Result<(), ConnectError> {
        let (server, now) = (self.server(), now());
        let Some(source) = self.remember else {
            if self.known.as_ref().is_some_and(|known| known.key(&pin).is_some()) {
                let seen = self.store.update(|known| {
                    known.seen(&self.host_port, &pin, now);
                    Ok(())
                });
                // A day that was not noted is no reason to refuse the server.
                if let Err(error) = seen {
                    prompts.event(&server, Event::NotNoted(&error));
                }
            }
            return Ok(());
        };
        let others = self.pins.iter().filter(|other| **other != pin).copied();
        let Some(pins) = PinSet::new([pin].into_iter().chain(others).collect()) else {
            return Ok(());
        };
        self.store.update(|known| {
            known.add(&self.host_port, &pins, source, now)?;
            known.seen(&self.host_port, &pin, now);
            Ok(())
        })?;
        prompts.event(&server, Event::Remembered(pin));
        Ok(())
    }

    /// Learns the server's keys from what it announced on a connection that it proved with `used`.
    /// Nothing is learned for a server that is not stored, and none of it fails the login. Blocks
    /// on the disk.
    pub(crate) fn learn(&self, used: &Pin, announced: &Announced, prompts: &dyn Prompts) {
        if self.known.is_none() && self.remember.is_none() {
            return;
        }
        let stored = self.store.update(|known| {
            if known.at(&self.host_port).is_none() {
                return Ok(Vec::new());
            }
            known.learn(&self.host_port, used, announced, now())
        });
        let server = self.server();
        match stored {
            Ok(new) => new.into_iter().for_each(|pin| prompts.event(&server, Event::Learned(pin))),
            Err(TrustError::NotLearned(NotLearned::NotStored) | TrustError::NoPlace) => {}
            Err(error) => prompts.event(&server, Event::NotLearned(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_characters_are_typed_exactly() {
        let pin = Pin::of_public_key(b"k");
        let text = pin.to_string();
        let digits = &text["sha256//".len()..];
        assert!(is_beginning_of(&digits[..8], &pin));
        assert!(is_beginning_of(digits, &pin));
        let upper = digits[..8].to_uppercase();
        for wrong in ["", "y", "yes", &digits[..7], &digits[1..9], &upper, "sha256//"] {
            assert!(!is_beginning_of(wrong, &pin), "{wrong}");
        }
    }
}
