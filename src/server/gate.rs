//! How many may stand at the door: connections that have not logged in, in all and from one source.
//!
//! From half of the places on, newcomers are turned away at random, the more the fuller it is: whoever fills
//! the places turns away himself as well. Sources that somebody has logged in from since the start have
//! places of their own: they wait behind no crowd. It holds numbers only; who is let in, the session decides.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most connections that have not logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrangerLimits {
    /// In all.
    pub all: usize,
    /// From one IPv4 address, or from one /64 of IPv6.
    pub per_source: usize,
}

impl Default for StrangerLimits {
    /// 128, and 16 from one source.
    fn default() -> Self {
        Self { all: 128, per_source: 16 }
    }
}

/// Sources that are remembered as known; the oldest is forgotten first.
const KNOWN: usize = 4096;

/// The strangers at the door. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    limits: StrangerLimits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// How many there are from each source.
    sources: HashMap<IpAddr, usize>,
    /// Where somebody has logged in from, newest last.
    known: VecDeque<IpAddr>,
}

/// A place at the door; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Gate,
    source: IpAddr,
}

impl Gate {
    pub(super) fn new(limits: StrangerLimits) -> Self {
        Self { limits, state: Arc::default() }
    }

    /// A place for somebody from `peer`, if there is one; `roll` is any number, drawn anew each time.
    pub(super) fn admit(&self, peer: IpAddr, roll: u32) -> Option<Place> {
        let source = block(peer);
        let mut state = self.lock();
        let is_known = state.known.contains(&source);
        let count: usize = state.sources.values().sum();
        let here = state.sources.get(&source).copied().unwrap_or(0);
        if here >= self.limits.per_source || (!is_known && self.is_turned_away(count, roll)) {
            return None;
        }
        state.sources.insert(source, here + 1);
        Some(Place { gate: self.clone(), source })
    }

    fn is_turned_away(&self, count: usize, roll: u32) -> bool {
        let free = self.limits.all / 2;
        let (above, room) = (count.saturating_sub(free), self.limits.all.saturating_sub(free));
        count >= self.limits.all || (roll as usize) % room.max(1) < above
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Gives the place back because its holder has logged in: its source is known from now on.
    pub(super) fn leave_as_known(self) {
        let mut state = self.gate.lock();
        if !state.known.contains(&self.source) {
            state.known.push_back(self.source);
            if state.known.len() > KNOWN {
                state.known.pop_front();
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        match state.sources.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(state.sources.remove(&self.source)),
        }
    }
}

/// Addresses that one person has: an IPv4 address, a /64 of IPv6.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(all: usize, per_source: usize) -> Gate {
        Gate::new(StrangerLimits { all, per_source })
    }

    fn address(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn one_source_has_its_places_and_no_more_until_some_are_free() {
        let gate = gate(100, 2);
        let first = gate.admit(address(1), 99).unwrap();
        let _second = gate.admit(address(1), 99).unwrap();
        assert!(gate.admit(address(1), 99).is_none());
        assert!(gate.admit("::ffff:10.0.0.1".parse().unwrap(), 99).is_none());
        assert!(gate.admit(address(2), 99).is_some());
        drop(first);
        assert!(gate.admit(address(1), 99).is_some());
        let six = |text: &str| text.parse().unwrap();
        let _near = [gate.admit(six("2001:db8::1"), 99), gate.admit(six("2001:db8::2:1"), 99)];
        assert!(gate.admit(six("2001:db8::ffff:ffff:ffff:ffff"), 99).is_none());
        assert!(gate.admit(six("2001:db8:0:1::1"), 99).is_some());
    }

    #[test]
    fn the_fuller_it_is_the_more_are_turned_away() {
        let gate = gate(100, 100);
        let mut places = Vec::new();
        let mut refused_at = Vec::new();
        for number in 0..=100u8 {
            let refused = (0..50).filter(|roll| gate.is_turned_away(number.into(), *roll)).count();
            refused_at.push(refused);
        }
        assert!(refused_at[..=50].iter().all(|refused| *refused == 0));
        assert_eq!((refused_at[51], refused_at[75], refused_at[100]), (1, 25, 50));
        // Never more than there are places, whatever is rolled; and all are given back.
        for number in 0..200 {
            places.extend(gate.admit(address(number), 49));
        }
        assert_eq!(places.len(), 100);
        places.clear();
        assert!(gate.lock().sources.is_empty());
    }

    #[test]
    fn a_known_source_waits_behind_no_crowd() {
        let gate = gate(4, 2);
        gate.admit(address(1), 0).unwrap().leave_as_known();
        let crowd: Vec<_> = (2..9).filter_map(|number| gate.admit(address(number), 99)).collect();
        assert_eq!(crowd.len(), 4);
        assert!(gate.admit(address(50), 99).is_none());
        let _mine = [gate.admit(address(1), 0).unwrap(), gate.admit(address(1), 0).unwrap()];
        assert!(gate.admit(address(1), 99).is_none(), "but has no more than its places");
        for number in 0..KNOWN {
            let source = IpAddr::from((number as u32).to_be_bytes());
            Place { gate: gate.clone(), source }.leave_as_known();
        }
        assert_eq!(gate.lock().known.len(), KNOWN);
    }
}
