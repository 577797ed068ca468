//! Who may stand at the door: connections that have not logged in, in all and from one source.
//!
//! From half of the places on, newcomers are turned away at random, the more the fuller it is, but
//! only those from the networks that most strangers are from. Who comes from elsewhere takes the
//! place of the stranger that has stood there longest among the most numerous: a crowd keeps out
//! itself. Where all are equally few, whoever has stood there for [`LINGER`] gives way. Sources
//! that somebody has logged in from since the start have places of their own, and give way to
//! nobody; they may have more than those, up to half of all, which count like anybody's: many
//! people may share an address. It holds numbers only; who is let in, the session decides.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use sealane_base::types::Username;
use sealane_base::types::network::{prefix, source_block};

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

/// Sources that are remembered as known. When there are as many, the account that has most of them
/// loses the one it has not logged in from for longest.
const KNOWN: usize = 4096;
/// Of these, the most that one account has.
const KNOWN_EACH: usize = 16;

/// How long nobody has to give way for the sake of the crowd's own next one: much longer than an
/// honest login takes.
const LINGER: Duration = Duration::from_secs(5);

/// Why there is no place.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Full {
    /// As many are here from that source as may be.
    #[error("too many connections without a login from one address")]
    Source,
    /// As many are here as may be, or nearly, and most of them from that network.
    #[error("too many connections without a login")]
    House,
}

/// The strangers at the door. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    limits: StrangerLimits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first.
    strangers: VecDeque<Stranger>,
    last: u64,
    known: Known,
}

/// Where accounts have logged in from, newest last.
#[derive(Debug, Default)]
struct Known(VecDeque<(IpAddr, Username)>);

#[derive(Debug)]
struct Stranger {
    number: u64,
    source: IpAddr,
    network: IpAddr,
    is_known: bool,
    since: Instant,
    leave: CancellationToken,
}

/// A place at the door; free again when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    gate: Gate,
    number: u64,
    source: IpAddr,
    leave: CancellationToken,
}

impl Gate {
    pub(super) fn new(limits: StrangerLimits) -> Self {
        Self { limits, state: Arc::default() }
    }

    /// A place for somebody from `peer`, if there is one; `roll` is any number, drawn anew each
    /// time.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn admit(&self, peer: IpAddr, roll: u32, now: Instant) -> Result<Admission, Full> {
        let (source, network) = (source_block(peer), network(peer));
        let mut state = self.lock();
        let is_known = state.known.contains(&source);
        let here = state.strangers.iter().filter(|stranger| stranger.source == source).count();
        let own = self.limits.per_source;
        if here >= if is_known { own.max(self.limits.all / 2) } else { own } {
            return Err(Full::Source);
        }
        // What a known source has beyond its own places gives way like anybody's.
        let is_known = is_known && here < own;
        let count = state.strangers.len();
        if !is_known && count > self.limits.all / 2 {
            let crowd = state.crowd(network);
            if count >= self.limits.all {
                let place = crowd.or_else(|| state.eldest(|one| now - one.since >= LINGER));
                state.turn_out(place.ok_or(Full::House)?);
            } else if crowd.is_none() && self.is_turned_away(count, roll) {
                return Err(Full::House);
            }
        }
        state.last += 1;
        let (number, leave) = (state.last, CancellationToken::new());
        let stranger =
            Stranger { number, source, network, is_known, since: now, leave: leave.clone() };
        state.strangers.push_back(stranger);
        Ok(Admission { gate: self.clone(), number, source, leave })
    }

    fn is_turned_away(&self, count: usize, roll: u32) -> bool {
        let free = self.limits.all / 2;
        let (above, room) = (count.saturating_sub(free), self.limits.all.saturating_sub(free));
        (roll as usize) % room.max(1) < above
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Of the network that most strangers are from, the source that most are from, and of those the
    /// eldest; `None` if `newcomer` would be one of as many.
    fn crowd(&self, newcomer: IpAddr) -> Option<usize> {
        let mut networks: HashMap<IpAddr, usize> = HashMap::new();
        let mut sources: HashMap<IpAddr, usize> = HashMap::new();
        for stranger in self.strangers.iter().filter(|stranger| !stranger.is_known) {
            *networks.entry(stranger.network).or_default() += 1;
            *sources.entry(stranger.source).or_default() += 1;
        }
        let most = networks.values().max().copied().unwrap_or(0);
        if networks.get(&newcomer).map_or(1, |count| count + 1) >= most {
            return None;
        }
        let crowded = |stranger: &Stranger| networks.get(&stranger.network) == Some(&most);
        let size = |stranger: &Stranger| sources.get(&stranger.source).copied().unwrap_or(0);
        let strangers = self.strangers.iter().enumerate();
        let crowd = strangers.filter(|(_, one)| !one.is_known && crowded(one));
        crowd.max_by_key(|(place, one)| (size(one), Reverse(*place))).map(|(place, _)| place)
    }

    fn eldest(&self, may_go: impl Fn(&Stranger) -> bool) -> Option<usize> {
        self.strangers.iter().position(|stranger| !stranger.is_known && may_go(stranger))
    }

    fn turn_out(&mut self, place: usize) {
        if let Some(stranger) = self.strangers.remove(place) {
            stranger.leave.cancel();
        }
    }
}

impl Admission {
    /// Cancelled once its holder has to go, to make room for somebody else.
    pub(super) fn must_leave(&self) -> CancellationToken {
        self.leave.clone()
    }

    /// Gives the place back because its holder has logged in: its source is known from now on.
    pub(super) fn leave_as_known(self, account: &Username) {
        self.gate.lock().known.enter(self.source, account);
    }
}

impl Known {
    fn contains(&self, source: &IpAddr) -> bool {
        self.0.iter().any(|(known, _)| known == source)
    }

    /// Each account makes room for itself: one that logs in from everywhere takes no place from
    /// another.
    fn enter(&mut self, source: IpAddr, account: &Username) {
        self.0.retain(|(known, owner)| (known, owner) != (&source, account));
        if self.0.iter().filter(|(_, owner)| owner == account).count() >= KNOWN_EACH {
            self.forget(account);
        }
        self.0.push_back((source, account.clone()));
        if self.0.len() > KNOWN {
            let mut counts: HashMap<&Username, usize> = HashMap::new();
            self.0.iter().for_each(|(_, owner)| *counts.entry(owner).or_default() += 1);
            let most = counts.values().max().copied();
            // The oldest of those that have most.
            let mut owners = self.0.iter().map(|(_, owner)| owner);
            let owner = owners.find(|owner| counts.get(owner).copied() == most).cloned();
            owner.iter().for_each(|owner| self.forget(owner));
        }
    }

    fn forget(&mut self, account: &Username) {
        if let Some(place) = self.0.iter().position(|(_, owner)| owner == account) {
            self.0.remove(place);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.strangers.retain(|stranger| stranger.number != self.number);
    }
}

/// Addresses that are handed out together: a /24 of IPv4, a /48 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    prefix(address, 24, 48)
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

    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

    fn at(second: u64) -> Instant {
        *START + Duration::from_secs(second)
    }

    impl Gate {
        /// With a roll that only a full house turns away.
        fn at(&self, peer: IpAddr, second: u64) -> Option<Admission> {
            let room = self.limits.all - self.limits.all / 2;
            self.admit(peer, room as u32 - 1, at(second)).ok()
        }
    }

    fn account(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn stays(place: &Admission) -> bool {
        !place.leave.is_cancelled()
    }

    #[test]
    fn one_source_has_its_places_and_no_more_until_some_are_free() {
        let gate = gate(100, 2);
        let first = gate.at(address(1), 0).unwrap();
        let _second = gate.at(address(1), 0).unwrap();
        assert!(gate.at(address(1), 0).is_none());
        assert!(gate.at("::ffff:10.0.0.1".parse().unwrap(), 0).is_none());
        assert!(gate.at(address(2), 0).is_some());
        drop(first);
        assert!(gate.at(address(1), 0).is_some());
        let six = |text: &str| text.parse().unwrap();
        let _near = [gate.at(six("2001:db8::1"), 0), gate.at(six("2001:db8::2:1"), 0)];
        assert!(gate.at(six("2001:db8::ffff:ffff:ffff:ffff"), 0).is_none());
        assert!(gate.at(six("2001:db8:0:1::1"), 0).is_some());
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
            places.extend(gate.at(address(number), 0));
        }
        assert_eq!(places.len(), 100);
        assert!(gate.admit(address(201), 0, at(0)).is_err() && places.iter().all(stays));
        drop(places.split_off(80));
        assert!(gate.admit(address(201), 0, at(0)).is_err(), "not turned away early");
        places.clear();
        assert!(gate.lock().strangers.is_empty());
    }

    #[test]
    fn a_crowd_keeps_out_itself_and_nobody_from_elsewhere() {
        let gate = gate(8, 4);
        let mut crowd: Vec<_> =
            [1, 2, 2, 3, 3, 3, 4, 4].map(|number| gate.at(address(number), 0).unwrap()).into();
        assert!(gate.at(address(5), 0).is_none(), "one more of the crowd");
        // The eldest of the address that has most goes; then the next, as long as they are more.
        let other = |number: u8| gate.at(IpAddr::from([192, 0, 2, number]), 0);
        let first = other(1).unwrap();
        assert!(!stays(&crowd[3]) && crowd.iter().filter(|place| stays(place)).count() == 7);
        let second = other(2).unwrap();
        assert!(!stays(&crowd[1]), "all have two, and this is the eldest of them but one");
        let [third, fourth] = [3, 4].map(|number| other(number).unwrap());
        assert!(other(5).is_none(), "they would be more than the crowd");
        assert!([&first, &second, &third, &fourth].into_iter().all(stays));
        // The places of those who went are not given back twice.
        crowd.retain(stays);
        assert_eq!((crowd.len(), gate.lock().strangers.len()), (4, 8));
        // Nor is it left to chance before the house is full.
        drop([third, fourth]);
        assert_eq!(gate.admit(address(9), 0, at(0)).err(), Some(Full::House));
        assert!(gate.admit(IpAddr::from([198, 51, 100, 1]), 0, at(0)).is_ok());
    }

    #[test]
    fn where_all_are_equally_few_the_eldest_gives_way_once_it_had_its_time() {
        let gate = gate(4, 2);
        let from = |number: u8| IpAddr::from([10, number, 0, 1]);
        let early = gate.at(from(1), 0).unwrap();
        let late: Vec<_> = (2..5).map(|number| gate.at(from(number), 4).unwrap()).collect();
        assert!(gate.at(from(5), 4).is_none());
        let newcomer = gate.at(from(5), 5).unwrap();
        assert!(!stays(&early) && stays(&newcomer) && late.iter().all(stays));
        assert!(gate.at(from(6), 5).is_none(), "nobody else has been here so long");
    }

    #[test]
    fn a_known_source_waits_behind_no_crowd() {
        let gate = gate(4, 2);
        gate.at(address(1), 0).unwrap().leave_as_known(&account("ann"));
        let crowd: Vec<_> = (2..9).filter_map(|number| gate.at(address(number), 0)).collect();
        assert_eq!(crowd.len(), 4);
        assert!(gate.at(address(50), 0).is_none());
        let mine = [gate.at(address(1), 0).unwrap(), gate.at(address(1), 0).unwrap()];
        assert!(gate.at(address(1), 0).is_none(), "but has no more than its places");
        // And it gives way to nobody.
        let others = (0..9).filter_map(|number| gate.at(IpAddr::from([192, 0, number, 1]), 100));
        assert_eq!(others.collect::<Vec<_>>().len(), 4);
        assert!(mine.iter().all(stays) && crowd.iter().all(|place| !stays(place)));
    }

    #[test]
    fn many_behind_one_known_address_are_let_in_and_keep_nobody_else_out() {
        let gate = gate(40, 4);
        gate.at(address(1), 0).unwrap().leave_as_known(&account("ann"));
        let near: Vec<_> = (0..30).filter_map(|_| gate.at(address(1), 0)).collect();
        assert_eq!(near.len(), 20, "half of all places");
        assert_eq!(gate.admit(address(1), 0, at(0)).err(), Some(Full::Source));
        assert_eq!((0..9).filter_map(|_| gate.at(address(2), 0)).count(), 9, "they left again");
        let unknown: Vec<_> = (0..9).filter_map(|_| gate.at(address(2), 0)).collect();
        assert_eq!(unknown.len(), 4, "an address that nobody has logged in from");
        // What they have beyond four gives way to others, one by one; the four do not.
        let others: Vec<_> =
            (0..100).filter_map(|number| gate.at(IpAddr::from([192, 0, number, 1]), 0)).collect();
        assert!(others.len() >= 30, "{}", others.len());
        assert!(near[..4].iter().all(stays));
        assert!(near.iter().filter(|place| stays(place)).count() < 10);
    }

    #[test]
    fn an_account_that_logs_in_from_everywhere_forgets_its_own_places_only() {
        let gate = gate(4, 2);
        gate.at(address(1), 0).unwrap().leave_as_known(&account("ann"));
        let enter = |number: u32, name: &str| {
            let source = IpAddr::from(number.to_be_bytes());
            let leave = CancellationToken::new();
            let place = Admission { gate: gate.clone(), number: 0, source, leave };
            place.leave_as_known(&account(name));
        };
        (0..2 * KNOWN as u32).for_each(|number| enter(number, "eve"));
        assert!(gate.lock().known.contains(&address(1)), "others are not forgotten");
        assert_eq!(gate.lock().known.0.len(), 1 + KNOWN_EACH);
        // Nor do many such accounts make others forgotten, who have fewer places.
        for name in 0..KNOWN / KNOWN_EACH + 9 {
            (0..KNOWN_EACH).for_each(|number| {
                enter(1_000_000 + (name * KNOWN_EACH + number) as u32, &format!("e{name}"));
            });
        }
        assert!(gate.lock().known.contains(&address(1)));
        assert_eq!(gate.lock().known.0.len(), KNOWN);
    }
}
