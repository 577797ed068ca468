//! What a sender knows of its receiver: what it claims, what is on its way to it and over which
//! connection, what was lost with one.

use std::collections::VecDeque;

use super::buffers::buffer_size;
use super::ends::{PeerEvent, SendingEnd};
use super::lanes::OWN;
use super::recipe::Shifted;
use super::{Meter, TransferError};
use crate::frame::{ChunkPrefix, ClaimsPage};
use crate::limits;
use crate::wire::{ChunkBuffer, FrameSender};
use sealane_base::types::{Digest, Layout};

/// What a receiver has announced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Claims will follow.
    pub claims: bool,
    /// It can be asked for the pieces of its present version.
    pub pieces: bool,
    /// It waits for chunks already, so they may come by any connection. One that has yet to see the
    /// offer would drop what overtakes that.
    pub is_ready: bool,
}

/// A chunk that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) prefix: ChunkPrefix,
    /// Bytes it took on the wire.
    pub(super) cost: usize,
    /// Bytes of the chunk among them.
    pub(super) literal: usize,
    pub(super) is_recipe: bool,
}

/// A connection to the receiver.
struct Way {
    lane: u32,
    out: FrameSender,
    /// Chunks sent over it and not acknowledged, oldest first.
    unacknowledged: VecDeque<Sent>,
}

impl Way {
    fn new(lane: u32, out: FrameSender) -> Self {
        Self { lane, out, unacknowledged: VecDeque::with_capacity(limits::WINDOW) }
    }

    /// Whether `cost` bytes may be sent, when a window is so many: unacknowledged are two chunks at
    /// most, or many recipes that are no longer together.
    fn has_room(&self, cost: usize, window: usize) -> bool {
        let under_way: usize = self.unacknowledged.iter().map(|sent| sent.cost).sum();
        let chunks = self.unacknowledged.iter().filter(|sent| !sent.is_recipe).count();
        let count = self.unacknowledged.len();
        let fits = under_way + cost <= window || count == 0;
        fits && chunks < limits::WINDOW && count < limits::RECIPES
    }
}

pub(super) struct Peer {
    end: SendingEnd,
    layout: Layout,
    /// The session's own connection, then the lanes.
    ways: Vec<Way>,
    /// State of the lanes that `ways` shows; `None` while only the session's own connection is
    /// used, because the receiver has not been heard of.
    changes: Option<u64>,
    /// Chunks whose connection is gone.
    lost: Vec<Sent>,
    /// Chunks whose recipes were wrong.
    again: Vec<Sent>,
    /// Claims not yet compared; the first one is for chunk `next_claim`.
    claims: VecDeque<Digest>,
    next_claim: u32,
    more_claims: bool,
    pub(super) shifted: Shifted,
}

impl Peer {
    pub(super) fn new(end: SendingEnd, held: Held, layout: Layout, out: &FrameSender) -> Self {
        let mut peer = Self {
            end,
            layout,
            ways: vec![Way::new(OWN, out.clone())],
            changes: None,
            lost: Vec::new(),
            again: Vec::new(),
            claims: VecDeque::new(),
            next_claim: 0,
            more_claims: held.claims,
            shifted: Shifted::new(layout, held.claims && held.pieces),
        };
        if held.is_ready {
            peer.look_at_lanes();
        }
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

    /// Waits for pieces that are not known yet, or for something that must be sent once more.
    pub(super) fn wait_for_pieces(&mut self, meter: &Meter) -> Result<(), TransferError> {
        while !self.shifted.has_news() && self.lost.is_empty() && self.again.is_empty() {
            self.next_event(meter)?;
        }
        Ok(())
    }

    /// The connection over which chunk `index` may go now for the first time, as [`Peer::any_way`]
    /// finds it.
    pub(super) fn free_way(&self, index: u32, cost: usize) -> Option<usize> {
        if self.is_too_far(index) { None } else { self.any_way(cost) }
    }

    /// Of the connections with room for `cost` bytes the one with the least on its way. `None` if
    /// an event must be waited for.
    pub(super) fn any_way(&self, cost: usize) -> Option<usize> {
        let window = self.window();
        let ways = self.ways.iter().enumerate().filter(|(_, way)| way.has_room(cost, window));
        ways.min_by_key(|(_, way)| way.unacknowledged.len()).map(|(at, _)| at)
    }

    /// Whether a recipe of `cost` bytes for chunk `index` may go now, over the session's own
    /// connection.
    pub(super) fn is_free_for_recipe(&self, index: u32, cost: usize) -> bool {
        let own = self.ways.iter().find(|way| way.lane == OWN);
        !self.is_too_far(index) && own.is_some_and(|own| own.has_room(cost, self.window()))
    }

    /// Whether the receiver would take chunks that are still on their way for skipped ones if
    /// `index` came.
    fn is_too_far(&self, index: u32) -> bool {
        let on_its_way = self.ways.iter().flat_map(|way| &way.unacknowledged).chain(&self.lost);
        let oldest = on_its_way.map(|sent| sent.prefix.index).min();
        self.ways.len() > 1 && oldest.is_some_and(|oldest| index >= oldest + limits::SPREAD)
    }

    fn window(&self) -> usize {
        limits::WINDOW * buffer_size(&self.layout)
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

    /// Sends a recipe over the session's own connection: it is not sent twice, and so must not be
    /// lost.
    pub(super) fn send_recipe(&mut self, sent: Sent, frame: Vec<u8>) -> Result<(), TransferError> {
        let own = self.ways.iter_mut().find(|way| way.lane == OWN);
        let own = own.ok_or(TransferError::Interrupted)?;
        own.out.send_blocking(frame)?;
        own.unacknowledged.push_back(sent);
        Ok(())
    }

    /// A chunk whose bytes are to be sent although it was sent: it was lost with its connection, or
    /// its recipe was wrong.
    pub(super) fn once_more(&mut self) -> Option<Sent> {
        self.lost.pop().or_else(|| self.again.pop())
    }

    /// Whether something is on its way that the end must not overtake, or that may have to be sent
    /// once more.
    pub(super) fn is_unsettled(&self) -> bool {
        let mut on_their_way = self.ways.iter().flat_map(|way| {
            way.unacknowledged.iter().map(move |sent| way.lane != OWN || sent.is_recipe)
        });
        !self.lost.is_empty() || !self.again.is_empty() || on_their_way.any(|unsettled| unsettled)
    }

    pub(super) fn wait_for_all(&mut self, meter: &Meter) -> Result<(), TransferError> {
        while self.ways.iter().any(|way| !way.unacknowledged.is_empty()) {
            self.next_event(meter)?;
        }
        Ok(())
    }

    pub(super) fn next_event(&mut self, meter: &Meter) -> Result<(), TransferError> {
        let event = self.end.next_event().ok_or(TransferError::Interrupted)?;
        let is_heard = self.changes.is_some() || !matches!(event, PeerEvent::Lanes);
        match event {
            PeerEvent::Acknowledged(lane, index) => self.acknowledged(lane, index, meter)?,
            PeerEvent::Again(index) => self.again(index)?,
            PeerEvent::Claims(page) => self.add_claims(page)?,
            PeerEvent::Pieces(page) => self.shifted.add(&page)?,
            PeerEvent::Lanes => {}
        }
        if is_heard && self.changes != Some(self.end.lanes().changes()) {
            self.look_at_lanes();
        }
        Ok(())
    }

    fn acknowledged(&mut self, lane: u32, index: u32, meter: &Meter) -> Result<(), TransferError> {
        let sent = match self.oldest(lane, index)? {
            Some(sent) => sent,
            // The last word of a connection that is gone.
            None => match self.lost.iter().position(|sent| sent.prefix.index == index) {
                Some(at) => self.lost.swap_remove(at),
                None => return Ok(()),
            },
        };
        let (literal, length) = (sent.literal, self.layout.length(index).unwrap_or(0));
        meter.moved(literal as u64);
        if literal < length {
            meter.reused((length - literal) as u64);
        }
        self.end.lanes().moved(literal as u64);
        Ok(())
    }

    fn again(&mut self, index: u32) -> Result<(), TransferError> {
        let sent = self.oldest(OWN, index)?.filter(|sent| sent.is_recipe);
        let sent = sent.ok_or(TransferError::Protocol("refused a chunk as if it were a recipe"))?;
        self.shifted.give_up();
        self.again.push(sent);
        Ok(())
    }

    /// Takes the oldest chunk on its way over `lane`, which must be `index`; `None` if that lane is
    /// gone.
    fn oldest(&mut self, lane: u32, index: u32) -> Result<Option<Sent>, TransferError> {
        let Some(way) = self.ways.iter_mut().find(|way| way.lane == lane) else { return Ok(None) };
        let oldest = way.unacknowledged.pop_front().filter(|sent| sent.prefix.index == index);
        let oldest = oldest.ok_or(TransferError::Protocol("acknowledged what was not sent"))?;
        Ok(Some(oldest))
    }

    fn look_at_lanes(&mut self) {
        let (changes, lanes) = self.end.lanes().snapshot();
        self.changes = Some(changes);
        self.forget(|lane| lane != OWN && !lanes.iter().any(|(open, _)| *open == lane));
        for (lane, out) in lanes {
            if !self.ways.iter().any(|way| way.lane == lane) {
                self.ways.push(Way::new(lane, out));
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
