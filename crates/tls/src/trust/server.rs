//! One known server: its keys, their states, and how a state may change.

use super::error::TrustError;
use super::name::{HostPort, ServerName};
use super::state::{MAX_KEYS, Source, State};
use sealane_base::types::{Pin, PinSet, Username};

/// Most names of one server.
pub(super) const MAX_NAMES: usize = 32;
/// Most servers that are remembered.
pub(super) const MAX_SERVERS: usize = 1000;

const DAY: i64 = 24 * 3600;

/// A key that a server has or had. Times are seconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The key.
    pub pin: Pin,
    /// What it is to the server.
    pub state: State,
    /// How it came to be known.
    pub source: Source,
    /// When it came to be known.
    pub first_seen: i64,
    /// When the server last proved itself with it, to the day.
    pub last_seen: Option<i64>,
    /// When it got its state.
    pub since: i64,
}

/// A further name of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// What the user calls it as well.
    pub name: ServerName,
    /// The account that this name stands for.
    pub user: Option<Username>,
}

/// A server and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownServer {
    /// Where it is.
    pub host_port: HostPort,
    /// What the user calls it.
    pub name: Option<ServerName>,
    /// The account that the name stands for.
    pub user: Option<Username>,
    /// Its other names; fewer than 32.
    pub aliases: Vec<Alias>,
    /// Of the last announcement that was learned.
    pub epoch: u64,
    /// Of the last one that a backup key had signed.
    pub signed_epoch: u64,
    /// At least one; one entry a pin.
    pub keys: Vec<KnownKey>,
}

impl KnownServer {
    /// Every name of it, the first one first.
    pub fn names(&self) -> impl Iterator<Item = &ServerName> {
        self.name.iter().chain(self.aliases.iter().map(|alias| &alias.name))
    }

    /// The account that `name` stands for, if it is one of its names and stands for one.
    #[must_use]
    pub fn user_of(&self, name: &ServerName) -> Option<&Username> {
        match self.aliases.iter().find(|alias| alias.name == *name) {
            Some(alias) => alias.user.as_ref(),
            None => self.user.as_ref(),
        }
    }

    /// Calls it so as well, for `user` or the account that the name stands for already.
    ///
    /// # Errors
    /// [`TrustError::Full`].
    pub(super) fn call(
        &mut self,
        name: ServerName,
        user: Option<Username>,
    ) -> Result<(), TrustError> {
        if self.name.as_ref().is_none_or(|first| *first == name) {
            self.name = Some(name);
            self.user = user.or(self.user.take());
            return Ok(());
        }
        if let Some(alias) = self.aliases.iter_mut().find(|alias| alias.name == name) {
            alias.user = user.or(alias.user.take());
            return Ok(());
        }
        if self.names().count() >= MAX_NAMES {
            return Err(TrustError::Full("names of one server", MAX_NAMES));
        }
        let user = user.or_else(|| self.user.clone());
        self.aliases.push(Alias { name, user });
        Ok(())
    }

    /// A server known by `pins`: the first is in use, the others are backups.
    ///
    /// # Errors
    /// [`TrustError::Full`] if there are more than are kept.
    pub(super) fn new(
        host_port: HostPort,
        pins: &PinSet,
        source: Source,
        now: i64,
    ) -> Result<Self, TrustError> {
        if pins.iter().count() > MAX_KEYS {
            return Err(TrustError::Full("keys of a server", MAX_KEYS));
        }
        let keys = pins.iter().enumerate().map(|(at, pin)| {
            let state = if at == 0 { State::Active } else { State::Backup };
            KnownKey { pin: *pin, state, source, first_seen: now, last_seen: None, since: now }
        });
        let keys = keys.collect();
        let (name, user, aliases) = (None, None, Vec::new());
        Ok(Self { host_port, name, user, aliases, epoch: 0, signed_epoch: 0, keys })
    }

    /// The keys it may prove itself with, the likeliest first; `None` if there are none left.
    #[must_use]
    pub fn pins(&self) -> Option<PinSet> {
        let of = |state| self.keys.iter().filter(move |key| key.state == state).map(|key| key.pin);
        let pins = of(State::Active).chain(of(State::Next)).chain(of(State::Backup));
        PinSet::new(pins.collect())
    }

    /// True if a key is revoked that was accepted here, so that it is refused wherever it is met. A
    /// server cannot have the keys of others refused by calling them revoked.
    pub(super) fn has_revoked(&self, pin: &Pin) -> bool {
        self.key(pin)
            .is_some_and(|key| key.state == State::Revoked && key.source != Source::Unproved)
    }

    /// What is known of a key.
    #[must_use]
    pub fn key(&self, pin: &Pin) -> Option<&KnownKey> {
        self.keys.iter().find(|key| key.pin == *pin)
    }

    /// True if `pins` are the keys it may prove itself with, or some of them.
    #[must_use]
    pub fn holds_all(&self, pins: &PinSet) -> bool {
        let is_accepted = |pin| self.key(pin).is_some_and(|key| key.state.is_accepted());
        pins.iter().all(is_accepted)
    }

    /// Puts `new` in the place of `old`, which is retired.
    pub(super) fn replace(&mut self, old: &Pin, new: Pin, now: i64) -> Result<(), TrustError> {
        let server = self.host_port.to_string();
        if self.key(&new).is_some_and(|key| key.state == State::Revoked) {
            return Err(TrustError::Revoked(server, new));
        }
        let state = match self.key(old) {
            Some(key) if key.state.is_accepted() => key.state,
            _ => return Err(TrustError::NoKey(server, *old)),
        };
        let mut after = self.clone();
        if after.set(old, State::Retired, Source::Typed, now)
            && after.set(&new, state, Source::Typed, now)
        {
            *self = after;
            return Ok(());
        }
        Err(TrustError::Full("keys of a server", MAX_KEYS))
    }

    /// Gives a key a state; one that is not known yet is added. False if there is no room for it,
    /// and nothing is changed.
    #[must_use]
    pub(super) fn set(&mut self, pin: &Pin, state: State, source: Source, now: i64) -> bool {
        match self.keys.iter_mut().find(|key| key.pin == *pin) {
            Some(key) if key.state == state => {}
            Some(key) => (key.state, key.since) = (state, now),
            None => {
                let pin = *pin;
                let key =
                    KnownKey { pin, state, source, first_seen: now, last_seen: None, since: now };
                self.keys.push(key);
            }
        }
        if self.keys.len() <= MAX_KEYS || self.forget_one(pin) {
            return true;
        }
        self.keys.pop();
        false
    }

    /// Makes room beside `kept`, without which nothing that must stay refused or accepted is
    /// forgotten.
    fn forget_one(&mut self, kept: &Pin) -> bool {
        let rank = |key: &KnownKey| match (key.state, key.source) {
            (State::Retired, _) => Some(0),
            (State::Revoked, Source::Unproved) => Some(1),
            _ => None,
        };
        let others = self.keys.iter().enumerate().filter(|(_, key)| key.pin != *kept);
        let ranked = others.filter_map(|(at, key)| Some((rank(key)?, key.since, at)));
        let Some((_, _, at)) = ranked.min() else { return false };
        self.keys.remove(at);
        true
    }

    /// Notes that the server proved itself with `pin` today.
    pub(super) fn seen(&mut self, pin: &Pin, now: i64) {
        let key = self.keys.iter_mut().find(|key| key.pin == *pin && key.state.is_accepted());
        if let Some(key) = key
            && key.last_seen.is_none_or(|last| last.div_euclid(DAY) != now.div_euclid(DAY))
        {
            key.last_seen = Some(now);
        }
    }
}
