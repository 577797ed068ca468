//! Memory for what arrives, shared by the connections of a server: together they hold no more than
//! a fixed amount.
//!
//! Who finds it used up waits; nothing fails. Each [`Share`] may hold one thing besides, so that
//! nobody waits for a peer that is slow: what is shared is only ever held by what waits for the
//! disk, or by the second thing of a connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Smaller buffers are not worth keeping.
const KEPT: usize = 1 << 20;

/// The memory of a server. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    /// In KiB.
    room: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    /// Bytes of buffers, idle or not.
    made: usize,
    users: usize,
}

/// What one connection may use of a [`Memory`].
#[derive(Clone, Debug)]
pub struct Share {
    memory: Memory,
    own: Arc<Semaphore>,
}

/// A part of the memory, until it is dropped.
#[derive(Debug)]
pub struct Loan {
    memory: Memory,
    _room: OwnedSemaphorePermit,
}

/// Somebody for whom buffers are kept.
#[derive(Debug)]
pub(super) struct User(Memory);

impl Memory {
    /// At most `most` bytes, but at least 1 MiB.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most = most.clamp(1 << 20, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(most / 1024));
        Self(Arc::new(Inner { most, room, idle: Mutex::default() }))
    }

    /// What another connection may use.
    #[must_use]
    pub fn share(&self) -> Share {
        Share { memory: self.clone(), own: Arc::new(Semaphore::new(1)) }
    }

    pub(super) fn user(&self) -> User {
        self.idle().users += 1;
        User(self.clone())
    }

    /// A buffer of exactly `size` bytes, with anything in it.
    fn take(&self, size: usize) -> Vec<u8> {
        let mut idle = self.idle();
        if let Some(at) = idle.buffers.iter().position(|buffer| buffer.len() == size) {
            return idle.buffers.swap_remove(at);
        }
        // Those of other sizes make room.
        idle.shrink(self.0.most.saturating_sub(size));
        idle.made += size;
        drop(idle);
        vec![0; size]
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut idle = self.idle();
        if idle.made > self.0.most || buffer.len() < KEPT || idle.users == 0 {
            idle.made = idle.made.saturating_sub(buffer.len());
        } else {
            idle.buffers.push(buffer);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Every change is one step.
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// Frees idle buffers until there are `most` bytes, if that helps.
    fn shrink(&mut self, most: usize) {
        while self.made > most
            && let Some(buffer) = self.buffers.pop()
        {
            self.made = self.made.saturating_sub(buffer.len());
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut idle = self.0.idle();
        idle.users = idle.users.saturating_sub(1);
        if idle.users == 0 {
            idle.shrink(0);
        }
    }
}

impl Share {
    /// Waits until `bytes` may be held.
    ///
    /// Cancel safe: nothing is held then.
    pub async fn loan(&self, bytes: usize) -> Loan {
        let Inner { most, room, .. } = &*self.memory.0;
        let most = u32::try_from(most / 1024).unwrap_or(u32::MAX);
        let wanted = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, most);
        let room = tokio::select! {
            biased;
            own = Arc::clone(&self.own).acquire_owned() => own,
            shared = Arc::clone(room).acquire_many_owned(wanted) => shared,
        };
        match room {
            Ok(_room) => Loan { memory: self.memory.clone(), _room },
            // Neither is ever closed.
            Err(_) => std::future::pending().await,
        }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl Loan {
    pub(super) fn take(&self, size: usize) -> Vec<u8> {
        self.memory.take(size)
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        self.memory.give_back(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const MIB: usize = 1 << 20;

    fn at_once(future: impl Future<Output = Loan>) -> Option<Loan> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(loan) => Some(loan),
            Poll::Pending => None,
        }
    }

    #[test]
    fn together_they_hold_so_much_and_each_one_thing_besides() {
        let memory = Memory::new(4 * MIB);
        let shares: Vec<_> = (0..8).map(|_| memory.share()).collect();
        let own: Vec<_> = shares.iter().map(|share| at_once(share.loan(MIB)).unwrap()).collect();
        let mut shared: Vec<_> = shares.iter().filter_map(|it| at_once(it.loan(MIB))).collect();
        assert_eq!((own.len(), shared.len()), (8, 4));
        // Whoever waits goes on when anybody lets go, and with its own in any case.
        shared.pop();
        shared.extend(at_once(shares[7].loan(MIB)));
        assert!(shared.len() == 4 && at_once(shares[0].loan(MIB)).is_none());
        drop(own);
        assert!(at_once(shares[0].loan(100 * MIB)).is_some());
        drop(shared);
        let all = [at_once(shares[0].loan(MIB)), at_once(shares[0].loan(100 * MIB))];
        assert!(all.iter().all(Option::is_some), "more than there is, is all there is");
    }

    /// Bytes of all buffers, and how many of those are idle.
    fn made(memory: &Memory) -> (usize, usize) {
        let idle = memory.idle();
        (idle.made, idle.buffers.len())
    }

    #[test]
    fn idle_buffers_are_used_again_make_room_and_go_with_the_last_user() {
        let memory = Memory::new(4 * MIB);
        let user = memory.user();
        let first = memory.take(2 * MIB);
        let place = first.as_ptr();
        memory.give_back(first);
        let again = memory.take(2 * MIB);
        assert_eq!((again.as_ptr(), memory.idle().made), (place, 2 * MIB));
        memory.give_back(again);
        let other = memory.take(3 * MIB);
        assert_eq!(memory.idle().made, 3 * MIB, "the idle one had to make room");
        // Beyond what there is, nothing is kept.
        let more = memory.take(3 * MIB);
        memory.give_back(more);
        assert_eq!(made(&memory), (3 * MIB, 0));
        memory.give_back(other);
        memory.give_back(memory.take(KEPT - 1));
        assert_eq!(made(&memory), (3 * MIB, 1));
        drop(user);
        assert_eq!(made(&memory), (0, 0));
    }
}
