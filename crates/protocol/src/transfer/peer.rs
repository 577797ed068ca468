//! What a sender knows of its receiver: its have-list, what is on its way to it and over which
//! connection, what was lost with one.

use std::collections::VecDeque;

use super::buffers::buffer_size;
use super::connections::OWN;
use super::ends::{PeerEvent, SendingEnd};
use super::recipe::Shifted;
use super::{Meter, TransferError};
use crate::frame::{ChunkPrefix, ClaimsPage};
use crate::limits;
use crate::wire::{ChunkBuffer, FrameSender};
use sealane_base::types::{Digest, Layout};

/// What a receiver has announced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Its have-list will follow.
    pub have_list: bool,
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
struct Connection {
    number: u32,
    out: FrameSender,
    /// Chunks sent over it and not acknowledged, oldest first.
    unacknowledged: VecDeque<Sent>,
}

impl Connection {
    fn new(number: u32, out: FrameSender) -> Self {
        Self { number, out, unacknowledged: VecDeque::with_capacity(limits::WINDOW) }
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
    /// The session's own connection, then those that joined.
    connections: Vec<Connection>,
    /// Count of changes that `connections` reflects; `None` while only the session's own
    /// connection is used, because nothing has come from the receiver yet.
    changes: Option<u64>,
    /// Chunks whose connection is gone.
    lost: Vec<Sent>,
    /// Chunks whose recipes were wrong.
    again: Vec<Sent>,
    /// The part of the have-list that is not compared yet; it begins with chunk `next_compared`.
    have_list: VecDeque<Digest>,
    next_compared: u32,
    more_to_come: bool,
    pub(super) shifted: Shifted,
}

impl Peer {
    pub(super) fn new(end: SendingEnd, held: Held, layout: Layout, out: &FrameSender) -> Self {
        let mut peer = Self {
            end,
            layout,
            connections: vec![Connection::new(OWN, out.clone())],
            changes: None,
            lost: Vec::new(),
            again: Vec::new(),
            have_list: VecDeque::new(),
            next_compared: 0,
            more_to_come: held.have_list,
            shifted: Shifted::new(layout, held.have_list && held.pieces),
        };
        if held.is_ready {
            peer.look_at_connections();
        }
        peer
    }

    /// What the receiver has for chunk `index`; waits until that is known. Called once for
    /// every chunk, in order.
    pub(super) async fn receiver_has(
        &mut self,
        index: u32,
        meter: &Meter,
    ) -> Result<Option<Digest>, TransferError> {
        debug_assert_eq!(index, self.next_compared);
        while self.have_list.is_empty() && self.more_to_come {
            self.next_event(meter).await?;
        }
        self.next_compared += 1;
        Ok(self.have_list.pop_front())
    }

    /// Waits for pieces that are not known yet, or for something that must be sent once more.
    pub(super) async fn wait_for_pieces(&mut self, meter: &Meter) -> Result<(), TransferError> {
        while !self.shifted.has_news() && self.lost.is_empty() && self.again.is_empty() {
            self.next_event(meter).await?;
        }
        Ok(())
    }

    /// The connection over which chunk `index` may go now for the first time, as
    /// [`Peer::any_connection`] finds it.
    pub(super) fn free_connection(&self, index: u32, cost: usize) -> Option<usize> {
        if self.is_too_far(index) { None } else { self.any_connection(cost) }
    }

    /// Of the connections with room for `cost` bytes the one with the least on its way. `None` if
    /// an event must be waited for.
    pub(super) fn any_connection(&self, cost: usize) -> Option<usize> {
        let window = self.window();
        let connections = self
            .connections
            .iter()
            .enumerate()
            .filter(|(_, connection)| connection.has_room(cost, window));
        connections.min_by_key(|(_, connection)| connection.unacknowledged.len()).map(|(at, _)| at)
    }

    /// Whether a recipe of `cost` bytes for chunk `index` may go now, over the session's own
    /// connection.
    pub(super) fn is_free_for_recipe(&self, index: u32, cost: usize) -> bool {
        let own = self.connections.iter().find(|connection| connection.number == OWN);
        !self.is_too_far(index) && own.is_some_and(|own| own.has_room(cost, self.window()))
    }

    /// Whether the receiver would take chunks that are still on their way for skipped ones if
    /// `index` came.
    fn is_too_far(&self, index: u32) -> bool {
        let on_its_way = self
            .connections
            .iter()
            .flat_map(|connection| &connection.unacknowledged)
            .chain(&self.lost);
        let oldest = on_its_way.map(|sent| sent.prefix.index).min();
        self.connections.len() > 1 && oldest.is_some_and(|oldest| index >= oldest + limits::SPREAD)
    }

    fn window(&self) -> usize {
        limits::WINDOW * buffer_size(&self.layout)
    }

    /// Sends a sealed chunk over `connection`.
    pub(super) async fn send(
        &mut self,
        connection: usize,
        sent: Sent,
        buffer: ChunkBuffer,
    ) -> Result<(), TransferError> {
        let connection = self.connections.get_mut(connection).ok_or(TransferError::Interrupted)?;
        match connection.out.send_chunk(buffer).await {
            Ok(()) => connection.unacknowledged.push_back(sent),
            // It is about to go.
            Err(_) if connection.number != OWN => {
                let number = connection.number;
                self.lost.push(sent);
                self.forget(|other| other == number);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Sends a recipe over the session's own connection: it is not sent twice, and so must not be
    /// lost.
    pub(super) async fn send_recipe(
        &mut self,
        sent: Sent,
        frame: Vec<u8>,
    ) -> Result<(), TransferError> {
        let own = self.connections.iter_mut().find(|connection| connection.number == OWN);
        let own = own.ok_or(TransferError::Interrupted)?;
        own.out.send(frame).await?;
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
        let mut on_their_way = self.connections.iter().flat_map(|connection| {
            connection
                .unacknowledged
                .iter()
                .map(move |sent| connection.number != OWN || sent.is_recipe)
        });
        !self.lost.is_empty() || !self.again.is_empty() || on_their_way.any(|unsettled| unsettled)
    }

    pub(super) async fn wait_for_all(&mut self, meter: &Meter) -> Result<(), TransferError> {
        while self.connections.iter().any(|connection| !connection.unacknowledged.is_empty()) {
            self.next_event(meter).await?;
        }
        Ok(())
    }

    pub(super) async fn next_event(&mut self, meter: &Meter) -> Result<(), TransferError> {
        let event = self.end.next_event().await?;
        let is_heard = self.changes.is_some() || !matches!(event, PeerEvent::ConnectionsChanged);
        match event {
            PeerEvent::Acknowledged(number, index) => self.acknowledged(number, index, meter)?,
            PeerEvent::Again(index) => self.again(index)?,
            PeerEvent::HaveList(page) => self.add_to_have_list(page)?,
            PeerEvent::Pieces(page) => self.shifted.add(&page)?,
            PeerEvent::ConnectionsChanged => {}
        }
        if is_heard && self.changes != Some(self.end.connections().changes()) {
            self.look_at_connections();
        }
        Ok(())
    }

    fn acknowledged(
        &mut self,
        number: u32,
        index: u32,
        meter: &Meter,
    ) -> Result<(), TransferError> {
        let sent = match self.oldest(number, index)? {
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
        self.end.connections().moved(literal as u64);
        Ok(())
    }

    fn again(&mut self, index: u32) -> Result<(), TransferError> {
        let sent = self.oldest(OWN, index)?.filter(|sent| sent.is_recipe);
        let sent = sent.ok_or(TransferError::Protocol("refused a chunk as if it were a recipe"))?;
        self.shifted.give_up();
        self.again.push(sent);
        Ok(())
    }

    /// Takes the oldest chunk on its way over connection `number`, which must be `index`; `None`
    /// if that connection is gone.
    fn oldest(&mut self, number: u32, index: u32) -> Result<Option<Sent>, TransferError> {
        let Some(connection) =
            self.connections.iter_mut().find(|connection| connection.number == number)
        else {
            return Ok(None);
        };
        let oldest =
            connection.unacknowledged.pop_front().filter(|sent| sent.prefix.index == index);
        let oldest = oldest.ok_or(TransferError::Protocol("acknowledged what was not sent"))?;
        Ok(Some(oldest))
    }

    fn look_at_connections(&mut self) {
        let (changes, open) = self.end.connections().snapshot();
        self.changes = Some(changes);
        self.forget(|number| number != OWN && !open.iter().any(|(other, _)| *other == number));
        for (number, out) in open {
            if !self.connections.iter().any(|connection| connection.number == number) {
                self.connections.push(Connection::new(number, out));
            }
        }
    }

    fn forget(&mut self, is_gone: impl Fn(u32) -> bool) {
        let lost = &mut self.lost;
        self.connections.retain_mut(|connection| {
            let gone = is_gone(connection.number);
            if gone {
                lost.extend(connection.unacknowledged.drain(..));
            }
            !gone
        });
    }

    fn add_to_have_list(&mut self, page: ClaimsPage) -> Result<(), TransferError> {
        let listed = u64::from(self.next_compared) + self.have_list.len() as u64;
        let fits = listed + page.digests.len() as u64 <= u64::from(self.layout.count());
        if !self.more_to_come || u64::from(page.first) != listed || !fits {
            return Err(TransferError::Protocol("claims out of order"));
        }
        self.more_to_come = !page.last;
        self.have_list.extend(page.digests);
        Ok(())
    }
}
