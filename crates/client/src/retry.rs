//! How long and how often a lost connection is retried, and after which failures at all.

use std::io;
use std::time::Duration;

use crate::dial::ConnectError;
use crate::session::SessionError;
use sealane_protocol::Status;
use sealane_protocol::wire::WireError;
use sealane_tls::TlsError;

/// Seconds beyond which it makes no difference what a server asks for: no retry lasts as long.
const LONGEST_WAIT: u64 = 366 * 24 * 3600;

/// How long and how often a lost connection is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Wait before the first attempt; each further one waits twice as long.
    pub first: Duration,
    /// Longest wait.
    pub cap: Duration,
    /// Time without a session, and without anything done between, after which it is given up. Zero:
    /// at once.
    pub deadline: Duration,
}

impl Default for Retry {
    /// From a quarter of a second to 15 seconds, for 5 minutes.
    fn default() -> Self {
        let (first, cap) = (Duration::from_millis(250), Duration::from_secs(15));
        Self { first, cap, deadline: Duration::from_secs(300) }
    }
}

impl Retry {
    /// The wait before attempt `number`, counted from 0. `chance`, any number, moves it between
    /// half and whole, so that the clients of a server that comes back do not all come at once.
    pub(super) fn delay(&self, number: u32, chance: u32) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(number).unwrap_or(u32::MAX));
        let half = doubled.min(self.cap) / 2;
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

/// The connection failed, or the server ends: the same question to a new session may be answered.
pub(super) fn is_passing(error: &SessionError) -> bool {
    match error {
        // What broke the protocol would break it again.
        SessionError::Connection(why) => !matches!(**why, WireError::Frame(_)),
        SessionError::Refused(refused) => {
            matches!(refused.status(), Status::ShuttingDown | Status::Stalled)
        }
        SessionError::Answer(_) | SessionError::TooLong { .. } | SessionError::Transfer(_) => false,
    }
}

/// There was no session yet, and there may be one later: something answers at that address, but has
/// no room or no time for one more. Where nothing answers, the address is likely to be wrong, and
/// that is told at once.
pub(super) fn may_pass_at_first(error: &ConnectError) -> bool {
    match error {
        ConnectError::Network(error) => is_cut(error),
        ConnectError::Tls(error) => matches!(error, TlsError::Closed | TlsError::Io(_)),
        ConnectError::Session(SessionError::Refused(refused)) => {
            matches!(refused.status(), Status::Busy | Status::ShuttingDown)
        }
        ConnectError::Session(error) => is_passing(error),
        _ => false,
    }
}

/// A connection that was there, and ended.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

/// What the server asked for with a refusal, in seconds at least.
pub(super) fn asked_to_wait(error: &ConnectError) -> Duration {
    let seconds = match error {
        ConnectError::Session(SessionError::Refused(refused)) => refused.wait.unwrap_or(0),
        _ => 0,
    };
    Duration::from_secs(seconds.min(LONGEST_WAIT))
}

/// There is no session now, and there may be one later. Until there was one (`is_first`) too many
/// failures are told: the password may be wrong.
pub(super) fn may_pass(error: &ConnectError, is_first: bool) -> bool {
    match error {
        ConnectError::Network(_) | ConnectError::Timeout(_) => true,
        // Whoever damages what is under way can stop us; who shows another key is refused as ever.
        ConnectError::Tls(error) => matches!(
            error,
            TlsError::Closed | TlsError::Io(_) | TlsError::Alert(_) | TlsError::Protocol(_)
        ),
        ConnectError::Session(SessionError::Refused(refused)) => match refused.status() {
            Status::Busy | Status::ShuttingDown => true,
            status => status == Status::TooManyFailures && !is_first,
        },
        ConnectError::Session(error) => is_passing(error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_chance_takes_at_most_half() {
        let retry = Retry::default();
        let millis = |number, chance| retry.delay(number, chance).as_millis();
        assert_eq!((millis(0, u32::MAX), millis(0, 0)), (250, 125));
        assert_eq!((millis(3, u32::MAX), millis(3, 0)), (2000, 1000));
        for number in [6, 7, 31, 32, u32::MAX] {
            assert_eq!((millis(number, u32::MAX), millis(number, 0)), (15_000, 7500), "{number}");
        }
        assert!((500..=1000).contains(&millis(2, u32::MAX / 3)));
        let none = Retry { first: Duration::ZERO, ..retry };
        assert_eq!(none.delay(40, 7), Duration::ZERO);
    }
}
