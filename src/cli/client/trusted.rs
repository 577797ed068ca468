//! Which keys a server may have this time, and what is remembered once it has proved one.
//!
//! `--pin` before the address before the store. A key that is known as revoked is refused whoever
//! names it.

use time::OffsetDateTime;

use super::names;
use super::remote::Access;
use crate::cli::{Exit, Failure, Ui, untrusted};
use sealane_base::types::{Address, Pin, PinSet};
use sealane_client as client;
use sealane_tls::trust::{Announced, KnownServer, NotLearned, Place, Source, State, TrustError};

/// The keys that are accepted, and why.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) pins: PinSet,
    pub(super) known: Option<KnownServer>,
    place: Place,
    /// How the server becomes known once it has proved itself, if it does.
    remember: Option<Source>,
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

pub(super) fn failure(error: &TrustError) -> Failure {
    let exit = match error {
        TrustError::Unknown(_) => Exit::NotFound,
        TrustError::File(_) | TrustError::Damaged { .. } | TrustError::Newer { .. } => Exit::Trust,
        _ => Exit::Other,
    };
    Failure::new(exit, error.to_string()).maybe_hint(error.hint())
}

/// Decides which keys the server of `address` may have; asks, if it is not known and there is somebody to ask.
pub(super) async fn decide(access: &Access, address: &Address) -> Result<Trusted, Failure> {
    let place = Place::of(address);
    let stored = names::store().load().map_err(|error| failure(&error))?;
    let known = stored.at(&place).cloned();
    let server = place.to_string();
    let given = if access.pins.is_empty() { &address.pins } else { &access.pins };
    let (pins, remember) = match (&known, given.is_empty()) {
        (_, false) => {
            let is_new = access.accept_new && known.is_none() && access.pins.is_empty();
            (given_keys(access, address, known.as_ref()), is_new.then_some(Source::Address))
        }
        (Some(known), true) => (known.pins(), None),
        (None, true) => {
            let (pin, source) = first_contact(access, &place).await?;
            (PinSet::new(vec![pin]), Some(source))
        }
    };
    let pins = pins.ok_or_else(|| untrusted::all_revoked(&server))?;
    Ok(Trusted { pins, known, place, remember })
}

/// The keys from the command line, or from the address. An address that names a key of a
/// known server means that server: what was learned of it since counts as well.
fn given_keys(access: &Access, address: &Address, known: Option<&KnownServer>) -> Option<PinSet> {
    let state = |pin: &Pin| known.and_then(|known| known.key(pin)).map(|key| key.state);
    if !access.pins.is_empty() {
        let pins = access.pins.iter().filter(|pin| state(pin) != Some(State::Revoked));
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

/// A server nobody knows: a person compares its key, `--accept-new` believes it, else nothing is
/// sent at all.
pub(super) async fn first_contact(
    access: &Access,
    place: &Place,
) -> Result<(Pin, Source), Failure> {
    let (server, ui) = (place.to_string(), access.ui);
    if !access.accept_new && !ui.can_ask() {
        return Err(untrusted::unknown(&server));
    }
    let pin = client::look(place.host(), place.port()).await;
    let pin = pin.map_err(|error| untrusted::connecting(&server, &error, None))?;
    if access.accept_new {
        return Ok((pin, Source::FirstContact));
    }
    let question = untrusted::question(&server, &pin);
    let answer = tokio::task::spawn_blocking(move || ui.ask(&question)).await;
    let answer = answer.ok().and_then(Result::ok).unwrap_or_default();
    if is_beginning_of(&answer, &pin) {
        Ok((pin, Source::Typed))
    } else {
        Err(untrusted::not_confirmed(&server, &answer))
    }
}

/// True for the first eight characters of the key, or more of them.
fn is_beginning_of(answer: &str, pin: &Pin) -> bool {
    let text = pin.to_string();
    let digits = text.strip_prefix("sha256//").unwrap_or_default();
    answer.len() >= 8 && digits.starts_with(answer)
}

impl Trusted {
    /// Stores what is to be remembered, now that the server has proved `pin`.
    pub(super) fn proved(&self, ui: Ui, pin: Pin) -> Result<(), Failure> {
        let (store, now) = (names::store(), now());
        let Some(source) = self.remember else {
            if self.known.as_ref().is_some_and(|known| known.key(&pin).is_some()) {
                let seen = store.update(|known| {
                    known.seen(&self.place, &pin, now);
                    Ok(())
                });
                // A day that was not noted is no reason to refuse the server.
                if let Err(error) = seen {
                    ui.detail(&error.to_string());
                }
            }
            return Ok(());
        };
        let others = self.pins.iter().filter(|other| **other != pin).copied();
        let Some(pins) = PinSet::new([pin].into_iter().chain(others).collect()) else {
            return Ok(());
        };
        store
            .update(|known| {
                known.add(&self.place, &pins, source, now)?;
                known.seen(&self.place, &pin, now);
                Ok(())
            })
            .map_err(|error| failure(&error))?;
        ui.note(&format!("{} is known from now on by {pin} ({})", self.place, pin.read_aloud()));
        Ok(())
    }
}

impl Trusted {
    /// Learns the server's keys from what it announced on a connection that it proved with `used`. Nothing is
    /// learned for a server that is not stored, and none of it fails the command.
    pub(super) fn learn(&self, ui: Ui, used: &Pin, announced: &Announced) {
        if self.known.is_none() && self.remember.is_none() {
            return;
        }
        let stored = names::store().update(|known| {
            if known.at(&self.place).is_none() {
                return Ok(Vec::new());
            }
            known.learn(&self.place, used, announced, now())
        });
        match stored {
            Ok(new) => {
                let server = &self.place;
                for pin in new {
                    ui.note(&untrusted::learned(&server.to_string(), &pin));
                }
            }
            Err(TrustError::NotLearned(NotLearned::NotStored) | TrustError::NoPlace) => {}
            Err(error) => ui.note(&format!("the keys of {} were not learned: {error}", self.place)),
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
