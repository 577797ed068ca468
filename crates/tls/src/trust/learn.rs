//! Learning a server's keys from the server itself: what it may change on its word, and what only
//! its backup key may.
//!
//! Signatures were verified before; here is decided what they are worth.

use super::announced::{Announced, AnnouncedKey, MAX_ANNOUNCED, NotLearned, Proof};
use super::server::KnownServer;
use super::state::{Source, State};
use sealane_base::types::Pin;

impl KnownServer {
    /// Learns what the server announced on a connection that it proved with `used`, and returns the
    /// keys that are accepted now and were not before.
    ///
    /// On its own word a server may add keys it proves, retire others, and name its first backup
    /// key. Only the word of a backup key that a person pinned, or that such a one vouched for,
    /// revokes keys, brings a retired one back, adds another backup, or goes back in epochs:
    /// whoever has stolen the key in use could name a first backup as well. What is called revoked
    /// without such a word is retired. The last accepted key and the backups stay in any case.
    ///
    /// # Errors
    /// [`NotLearned`].
    pub fn learn(
        &mut self,
        used: &Pin,
        announced: &Announced,
        now: i64,
    ) -> Result<Vec<Pin>, NotLearned> {
        let is_signed = self.check(used, announced)?;
        let before = self.pins();
        let mut after = self.clone();
        for key in &announced.keys {
            after.learn_key(key, used, is_signed, &announced.signers, now)?;
        }
        let listed = |pin: &Pin| announced.keys.iter().any(|key| key.pin == *pin);
        let dropped = after
            .keys
            .iter()
            .filter(|key| matches!(key.state, State::Active | State::Next) && !listed(&key.pin));
        for pin in dropped.map(|key| key.pin).collect::<Vec<_>>() {
            // One that is there already takes no room.
            let _ = after.set(&pin, State::Retired, Source::Rotation, now);
        }
        let goes_on = announced.keys.iter().any(|key| {
            key.state == Some(State::Active)
                && after.key(&key.pin).is_some_and(|key| key.state == State::Active)
        });
        if !goes_on {
            return Err(NotLearned::Foreign);
        }
        after.epoch = announced.epoch;
        if is_signed {
            after.signed_epoch = announced.epoch;
        }
        *self = after;
        let is_new = |pin: &&Pin| before.as_ref().is_none_or(|before| !before.contains(pin));
        Ok(self.pins().iter().flat_map(|pins| pins.iter()).filter(is_new).copied().collect())
    }

    /// Whether the announcement may be learned at all, and if a stored backup key vouches for it.
    fn check(&self, used: &Pin, announced: &Announced) -> Result<bool, NotLearned> {
        let keys = &announced.keys;
        let repeated = |pin: &Pin| keys.iter().filter(|key| key.pin == *pin).count() > 1;
        if keys.is_empty()
            || keys.len() > MAX_ANNOUNCED
            || keys.iter().any(|key| repeated(&key.pin))
        {
            return Err(NotLearned::Malformed);
        }
        if !self.key(used).is_some_and(|key| key.state.is_accepted()) {
            return Err(NotLearned::NotStored);
        }
        let in_use = |state| matches!(state, Some(State::Active | State::Next));
        let unproved = keys.iter().find(|key| match key.proof {
            Proof::Good => false,
            Proof::Bad => true,
            Proof::Absent => in_use(key.state),
        });
        if let Some(key) = unproved {
            return Err(NotLearned::BadProof(key.pin));
        }
        if !keys.iter().any(|key| key.pin == *used) {
            return Err(NotLearned::Foreign);
        }
        let is_backup = |pin: &Pin| {
            self.key(pin)
                .is_some_and(|key| key.state == State::Backup && key.source != Source::Announced)
        };
        let is_signed = announced.signers.iter().any(is_backup);
        let is_newer_signed = is_signed && announced.epoch > self.signed_epoch;
        if announced.epoch < self.epoch && !is_newer_signed {
            let (announced, known) = (announced.epoch, self.epoch);
            return Err(NotLearned::LowerEpoch { announced, known });
        }
        Ok(is_newer_signed)
    }

    fn learn_key(
        &mut self,
        key: &AnnouncedKey,
        used: &Pin,
        is_signed: bool,
        signers: &[Pin],
        now: i64,
    ) -> Result<(), NotLearned> {
        let known = self.key(&key.pin).map(|known| known.state);
        let has_backup = self.keys.iter().any(|key| key.state == State::Backup);
        let learned = match (key.state, known) {
            (None, _) | (_, Some(State::Revoked)) => None,
            (Some(State::Revoked), _) if key.pin == *used => None,
            (Some(State::Revoked), Some(_)) if is_signed => {
                Some((State::Revoked, Source::Rotation))
            }
            (Some(State::Revoked), None) if is_signed => Some((State::Revoked, Source::Unproved)),
            (Some(State::Active | State::Next), Some(State::Retired)) if !is_signed => None,
            (Some(state @ (State::Active | State::Next)), _) => Some((state, Source::Rotation)),
            (Some(State::Backup), None) if signers.contains(&key.pin) && is_signed => {
                Some((State::Backup, Source::Rotation))
            }
            (Some(State::Backup), None) if signers.contains(&key.pin) && !has_backup => {
                Some((State::Backup, Source::Announced))
            }
            // What a server may say on its own word of a key that it calls revoked: that it is not
            // used any more.
            (Some(State::Retired | State::Revoked), Some(State::Active | State::Next)) => {
                Some((State::Retired, Source::Rotation))
            }
            (Some(State::Revoked | State::Backup | State::Retired), _) => None,
        };
        match learned {
            Some((state, source)) if !self.set(&key.pin, state, source, now) => {
                // What was never accepted here is refused without being remembered.
                if source == Source::Unproved { Ok(()) } else { Err(NotLearned::Full) }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{HostPort, KnownServers};
    use sealane_base::types::PinSet;

    const NOW: i64 = 1_770_000_000;

    fn pin(name: &str) -> Pin {
        Pin::of_public_key(name.as_bytes())
    }

    fn known(keys: &[&str]) -> KnownServer {
        let mut known = KnownServers::default();
        let pins = PinSet::new(keys.iter().map(|key| pin(key)).collect()).unwrap();
        known.add(&HostPort::parse("h").unwrap(), &pins, Source::Address, NOW).unwrap();
        known.iter().next().unwrap().clone()
    }

    fn announced(epoch: u64, keys: &[(&str, State)], signers: &[&str]) -> Announced {
        let keys = keys.iter().map(|(name, state)| AnnouncedKey {
            pin: pin(name),
            state: Some(*state),
            proof: match state {
                Active | Next => Proof::Good,
                _ => Proof::Absent,
            },
        });
        let signers = signers.iter().map(|name| pin(name)).collect();
        Announced { epoch, keys: keys.collect(), signers }
    }

    fn states(server: &KnownServer) -> Vec<(Pin, State)> {
        server.keys.iter().map(|key| (key.pin, key.state)).collect()
    }

    use State::{Active, Backup, Next, Retired, Revoked};

    #[test]
    fn a_planned_rotation_is_learned_step_by_step() {
        let mut server = known(&["a", "b"]);
        let prepared = announced(2, &[("a", Active), ("n", Next), ("b", Backup)], &[]);
        assert_eq!(server.learn(&pin("a"), &prepared, NOW), Ok(vec![pin("n")]));
        assert_eq!(server.learn(&pin("a"), &prepared, NOW), Ok(vec![]));
        let activated = announced(3, &[("n", Active), ("a", Retired), ("b", Backup)], &[]);
        assert_eq!(server.learn(&pin("n"), &activated, NOW), Ok(vec![]));
        let expected = [(pin("a"), Retired), (pin("b"), Backup), (pin("n"), Active)];
        assert_eq!(states(&server), expected);
        // A retired key comes back on the word of a stored backup key, and on nobody else's.
        let back = [("n", Active), ("a", Next), ("b", Backup)];
        assert_eq!(server.clone().learn(&pin("n"), &announced(4, &back, &["n"]), NOW), Ok(vec![]));
        let signed = server.clone().learn(&pin("n"), &announced(4, &back, &["b"]), NOW);
        assert_eq!(signed, Ok(vec![pin("a")]));
        // Who knows the old key alone learns on the connection that the old key proves.
        let mut late = known(&["a", "b"]);
        assert_eq!(late.learn(&pin("a"), &activated, NOW), Ok(vec![pin("n")]));
        assert_eq!(states(&late), expected);
    }

    #[test]
    fn bad_announcements_change_nothing() {
        let good = announced(5, &[("a", Active), ("n", Next)], &[]);
        let check = |announcement: &Announced, used: &str, why: NotLearned| {
            let mut server = known(&["a", "b"]);
            server.epoch = 5;
            let before = server.clone();
            assert_eq!(server.learn(&pin(used), announcement, NOW), Err(why));
            assert_eq!(server, before);
        };
        check(&good, "x", NotLearned::NotStored);
        let lower = Announced { epoch: 4, ..good.clone() };
        check(&lower, "a", NotLearned::LowerEpoch { announced: 4, known: 5 });
        for proof in [Proof::Bad, Proof::Absent] {
            let mut unproved = good.clone();
            unproved.keys[1].proof = proof;
            check(&unproved, "a", NotLearned::BadProof(pin("n")));
        }
        let names = ["a", "n", "o", "p", "q"];
        let many: Vec<_> = names.iter().map(|name| (*name, Active)).collect();
        check(&announced(6, &many, &[]), "a", NotLearned::Malformed);
        check(&announced(6, &[], &[]), "a", NotLearned::Malformed);
        check(&announced(6, &[("a", Active), ("a", Next)], &[]), "a", NotLearned::Malformed);
        check(&announced(6, &[("n", Active)], &[]), "a", NotLearned::Foreign);
        // The last matching key does not go for nothing.
        check(&announced(6, &[("a", Retired)], &[]), "a", NotLearned::Foreign);
        check(&announced(6, &[("a", Next)], &[]), "a", NotLearned::Foreign);
    }

    #[test]
    fn a_thief_of_the_key_in_use_can_neither_revoke_nor_plant_a_backup() {
        let mut server = known(&["a", "b"]);
        let keys = [("a", Active), ("b", Revoked), ("x", Backup)];
        server.learn(&pin("a"), &announced(u64::MAX, &keys, &["x", "a"]), NOW).unwrap();
        assert_eq!(states(&server), [(pin("a"), Active), (pin("b"), Backup)]);
        let keys = [("a", Active), ("b", Retired), ("x", Next)];
        server.learn(&pin("a"), &announced(u64::MAX, &keys, &[]), NOW).unwrap();
        assert_eq!(server.key(&pin("b")).unwrap().state, Backup);
        assert_eq!(server.key(&pin("x")).unwrap().state, Next);
        // The backup's word undoes it, whatever epoch the thief has reached.
        let keys = [("b", Active), ("a", Revoked), ("c", Backup)];
        let recovered = announced(7, &keys, &["b", "c"]);
        assert_eq!(server.learn(&pin("b"), &recovered, NOW), Ok(vec![pin("c")]));
        let now =
            [(pin("a"), Revoked), (pin("b"), Active), (pin("x"), Retired), (pin("c"), Backup)];
        assert_eq!(states(&server), now);
        assert_eq!((server.epoch, server.signed_epoch), (7, 7));
        // And it never comes back.
        let again = announced(8, &[("b", Active), ("a", Next)], &[]);
        server.learn(&pin("b"), &again, NOW).unwrap();
        assert_eq!(server.key(&pin("a")).unwrap().state, Revoked);
        assert_eq!(server.learn(&pin("a"), &again, NOW), Err(NotLearned::NotStored));
        // Nor does an old statement, played back.
        let replay = server.learn(&pin("b"), &recovered, NOW);
        assert_eq!(replay, Err(NotLearned::LowerEpoch { announced: 7, known: 8 }));
    }

    #[test]
    fn a_first_backup_is_learned_if_it_signed_the_list() {
        let mut server = known(&["a"]);
        let keys = [("a", Active), ("b", Backup)];
        server.learn(&pin("a"), &announced(1, &keys, &[]), NOW).unwrap();
        assert_eq!(states(&server), [(pin("a"), Active)]);
        assert_eq!(server.learn(&pin("a"), &announced(1, &keys, &["b"]), NOW), Ok(vec![pin("b")]));
    }

    #[test]
    fn a_backup_planted_by_a_thief_revokes_nothing_that_a_person_pinned() {
        let mut server = known(&["a"]);
        let planted = announced(1, &[("a", Active), ("x", Backup)], &["x"]);
        server.learn(&pin("a"), &planted, NOW).unwrap();
        // The thief goes over to the planted key and calls the owner's revoked, as late as an epoch
        // can be.
        let keys = [("x", Active), ("a", Revoked), ("y", Backup), ("z", Revoked)];
        server.learn(&pin("x"), &announced(u64::MAX, &keys, &["x", "y"]), NOW).unwrap();
        assert_eq!(server.key(&pin("a")).map(|key| key.state), Some(Retired));
        assert_eq!(server.key(&pin("z")), None);
        assert_eq!(server.signed_epoch, 0);
        // So the owner's key comes back as soon as a person says so.
        server.replace(&pin("x"), pin("a"), NOW).unwrap();
        assert_eq!(server.key(&pin("a")).map(|key| key.state), Some(Active));
        // A backup that a planted one vouches for is worth no more.
        let keys = [("a", Active), ("y", Backup), ("b", Revoked)];
        server.learn(&pin("a"), &announced(u64::MAX, &keys, &["y"]), NOW).unwrap();
        assert_eq!(server.key(&pin("b")), None);
    }

    #[test]
    fn a_server_with_a_backup_key_fills_no_more_than_its_own_entry() {
        let mut server = known(&["a", "b"]);
        let mut full = 0;
        for epoch in 1..100_u64 {
            let (n, o) = (format!("n{epoch}"), format!("o{epoch}"));
            // Keys that were accepted before, and keys that nobody has heard of.
            let next = announced(2 * epoch, &[("a", Active), (&n, Next)], &["b"]);
            full += u32::from(server.learn(&pin("a"), &next, NOW) == Err(NotLearned::Full));
            let keys = [("a", Active), (n.as_str(), Revoked), (o.as_str(), Revoked)];
            let _ = server.learn(&pin("a"), &announced(2 * epoch + 1, &keys, &["b"]), NOW);
            assert!(server.keys.len() <= crate::trust::state::MAX_KEYS);
        }
        assert!(full > 0);
        // What was accepted and revoked stays refused, and what is accepted stays.
        assert!((1..=20).all(|epoch| server.has_revoked(&pin(&format!("n{epoch}")))));
        assert_eq!(server.key(&pin("a")).map(|key| key.state), Some(Active));
        assert_eq!(server.key(&pin("b")).map(|key| key.state), Some(Backup));
    }
}
