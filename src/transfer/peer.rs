//! What a sender knows of its receiver: what it claims, what is on its way to it and over which
//! connection, what was lost with one.

use std::collections::VecDeque;

use super::lanes::OWN;
use super::routes::{PeerEvent, SendingEnd};
use super::{Meter, TransferError};
use crate::protocol::frame::{ChunkPrefix, ClaimsPage};
use crate::protocol::limits;
use crate::types::{Digest, Layout};
use crate::wire::{ChunkBuffer, FrameSender};

/// A chunk that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) prefix: ChunkPrefix,
}

/// A connection to the receiver.
struct Way {
    lane: u32,
    out: FrameSender,
    /// Chunks sent over it and not acknowledged, oldest first.
    unacknowledged: VecDeque<Sent>,
}

pub(super) struct Peer {
    end: SendingEnd,
    layout: Layout,
    /// The session's own connection, then the lanes.
    ways: Vec<Way>,
    /// State of the lanes that `ways` shows.
    changes: u64,
    /// Chunks whose connection is gone.
    lost: Vec<Sent>,
    /// Claims not yet compared; the first one is for chunk `next_claim`.
    claims: VecDeque<Digest>,
    next_claim: u32,
    more_claims: bool,
}

impl Peer {
    pub(super) fn new(
        end: SendingEnd,
        more_claims: bool,
        layout: Layout,
        out: &FrameSender,
    ) -> Self {
        let own = Way { lane: OWN, out: out.clone(), unacknowledged: VecDeque::new() };
        let mut peer = Self {
            end,
            layout,
            ways: vec![own],
            changes: 0,
            lost: Vec::new(),
            claims: VecDeque::new(),
            next_claim: 0,
            more_claims,
        };
        peer.look_at_lanes();
        peer
    }

    /// The claim for chunk `index`; waits until it is there or no more will come. Called once for
    /// every chunk, in order.
    pub(super) fn claim(
        &mut self,
        index: u32,
        meter: &Meter,
    ) -> Result<Option<Digest>, TransferError> {
        debug_assert_eq!(index, self.next_claim);
        while self.claims.is_empty() && self.more_claims {
            self.next_event(meter)?;
        }
        self.next_claim += 1;
        Ok(self.claims.pop_front())
    }

    /// The connection over which chunk `index` may go now: of those with room the one with the least on its
    /// way. `None` if an event must be waited for.
    pub(super) fn free_way(&self, index: u32) -> Option<usize> {
        let on_its_way = self.ways.iter().flat_map(|way| &way.unacknowledged).chain(&self.lost);
        let oldest = on_its_way.map(|sent| sent.prefix.index).min();
        if self.ways.len() > 1 && oldest.is_some_and(|oldest| index >= oldest + limits::SPREAD) {
            return None;
        }
        let count = |way: &Way| way.unacknowledged.len();
        let ways = self.ways.iter().enumerate().filter(|(_, way)| count(way) < limits::WINDOW);
        ways.min_by_key(|(_, way)| count(way)).map(|(at, _)| at)
    }

    /// Sends a sealed chunk over the connection `way`.
    pub(super) fn send(
        &mut self,
        way: usize,
        sent: Sent,
        buffer: ChunkBuffer,
    ) -> Result<(), TransferError> {
        let way = self.ways.get_mut(way).ok_or(TransferError::Interrupted)?;
        match way.out.send_chunk_blocking(buffer) {
            Ok(()) => way.unacknowledged.push_back(sent),
            // It is about to go.
            Err(_) if way.lane != OWN => {
                let lane = way.lane;
                self.lost.push(sent);
                self.forget(|other| other == lane);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// A chunk that was lost with its connection.
    pub(super) fn lost(&mut self) -> Option<Sent> {
        self.lost.pop()
    }

    pub(super) fn waits_for_lanes(&self) -> bool {
        let lanes = || self.ways.iter().filter(|way| way.lane != OWN);
        !self.lost.is_empty() || lanes().any(|way| !way.unacknowledged.is_empty())
    }

    pub(super) fn wait_for_all(&mut self, meter: &Meter) -> Result<(), TransferError> {
        while self.ways.iter().any(|way| !way.unacknowledged.is_empty()) {
            self.next_event(meter)?;
        }
        Ok(())
    }

    pub(super) fn next_event(&mut self, meter: &Meter) -> Result<(), TransferError> {
        match self.end.next_event().ok_or(TransferError::Interrupted)? {
            PeerEvent::Acknowledged(lane, index) => self.acknowledged(lane, index, meter)?,
            PeerEvent::Claims(page) => self.add_claims(page)?,
            PeerEvent::Lanes => {}
        }
        if self.end.lanes().changes() != self.changes {
            self.look_at_lanes();
        }
        Ok(())
    }

    fn acknowledged(&mut self, lane: u32, index: u32, meter: &Meter) -> Result<(), TransferError> {
        let is_it = |sent: &Sent| sent.prefix.index == index;
        match self.ways.iter_mut().find(|way| way.lane == lane) {
            Some(way) => {
                let oldest = way.unacknowledged.pop_front();
                if !oldest.as_ref().is_some_and(is_it) {
                    return Err(TransferError::Protocol("acknowledged what was not sent"));
                }
            }
            // The last word of a connection that is gone.
            None => match self.lost.iter().position(is_it) {
                Some(at) => drop(self.lost.swap_remove(at)),
                None => return Ok(()),
            },
        }
        let length = self.layout.length(index).unwrap_or(0) as u64;
        meter.moved(length);
        self.end.lanes().moved(length);
        Ok(())
    }

    fn look_at_lanes(&mut self) {
        let (changes, lanes) = self.end.lanes().snapshot();
        self.changes = changes;
        self.forget(|lane| lane != OWN && !lanes.iter().any(|(open, _)| *open == lane));
        for (lane, out) in lanes {
            if !self.ways.iter().any(|way| way.lane == lane) {
                self.ways.push(Way { lane, out, unacknowledged: VecDeque::new() });
            }
        }
    }

    fn forget(&mut self, is_gone: impl Fn(u32) -> bool) {
        let lost = &mut self.lost;
        self.ways.retain_mut(|way| {
            let gone = is_gone(way.lane);
            if gone {
                lost.extend(way.unacknowledged.drain(..));
            }
            !gone
        });
    }

    fn add_claims(&mut self, page: ClaimsPage) -> Result<(), TransferError> {
        let claimed = u64::from(self.next_claim) + self.claims.len() as u64;
        let fits = claimed + page.digests.len() as u64 <= u64::from(self.layout.count());
        if !self.more_claims || u64::from(page.first) != claimed || !fits {
            return Err(TransferError::Protocol("claims out of order"));
        }
        self.more_claims = !page.last;
        self.claims.extend(page.digests);
        Ok(())
    }
}
