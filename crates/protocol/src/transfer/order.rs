//! Which chunks have come, and which were skipped because the receiver holds them.
//!
//! Over one connection chunks come in order, and what is left out is held. Over several they may
//! overtake one another, but never by more than [`SPREAD`], so what is farther back and has not
//! come is held.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError};

use super::TransferError;
use crate::limits::SPREAD;
use sealane_base::types::Digest;

/// What a chunk that comes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is to be verified and written.
    New,
    /// It has come before: a connection was lost with its acknowledgement.
    Again,
}

/// The chunks of one file, from the receiver's side.
#[derive(Debug)]
pub(super) struct Order {
    /// The have-list as it is made, in order.
    listing: Receiver<Digest>,
    /// The have-list from chunk `settled` on.
    have_list: VecDeque<Digest>,
    is_complete: bool,
    /// Every chunk below has come or is held.
    settled: u32,
    /// Which of the [`SPREAD`] chunks from `settled` on have come, the first one in the lowest bit.
    came: u64,
}

impl Order {
    /// Nothing has come yet; `listing` gives the digest of every chunk that is held, from the first
    /// one on, before the sender hears it.
    pub(super) fn new(listing: Receiver<Digest>) -> Self {
        Self { listing, have_list: VecDeque::new(), is_complete: false, settled: 0, came: 0 }
    }

    /// Chunk `index` comes. `shared` says that others may have overtaken it. `held` is told the
    /// chunks that turn out to have been skipped.
    ///
    /// # Errors
    /// [`TransferError::Protocol`] for what an honest sender would not do, and whatever `held`
    /// gives.
    pub(super) fn begin(
        &mut self,
        index: u32,
        shared: bool,
        held: impl FnMut(u32, Digest) -> Result<(), TransferError>,
    ) -> Result<Arrival, TransferError> {
        if self.has_come(index) {
            // One that was taken as held and comes nevertheless is found out by the root.
            return match shared {
                true => Ok(Arrival::Again),
                false => Err(TransferError::Protocol("a chunk came twice or out of order")),
            };
        }
        self.hear(index)?;
        let all_below = if shared { (index + 1).saturating_sub(SPREAD) } else { index };
        self.settle(all_below, held)?;
        self.came |= 1 << (index - self.settled);
        while self.came & 1 == 1 {
            self.step();
        }
        Ok(Arrival::New)
    }

    /// No more will come: every one of `count` chunks that has not come is held.
    ///
    /// # Errors
    /// As [`Order::begin`].
    pub(super) fn end(
        &mut self,
        count: u32,
        held: impl FnMut(u32, Digest) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        if let Some(last) = count.checked_sub(1).filter(|last| *last >= self.settled) {
            self.hear(last)?;
        }
        self.settle(count, held)
    }

    fn has_come(&self, index: u32) -> bool {
        match index.checked_sub(self.settled) {
            None => true,
            Some(ahead) => ahead < SPREAD && self.came >> ahead & 1 == 1,
        }
    }

    /// Takes in the have-list up to chunk `index`, which the sender must have read.
    fn hear(&mut self, index: u32) -> Result<(), TransferError> {
        let wanted = (index - self.settled) as usize + 1;
        while self.have_list.len() < wanted && !self.is_complete {
            match self.listing.try_recv() {
                Ok(digest) => self.have_list.push_back(digest),
                Err(TryRecvError::Disconnected) => self.is_complete = true,
                Err(TryRecvError::Empty) => {
                    return Err(TransferError::Protocol("went past what was claimed so far"));
                }
            }
        }
        Ok(())
    }

    fn settle(
        &mut self,
        below: u32,
        mut held: impl FnMut(u32, Digest) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        while self.settled < below {
            let (index, has_come) = (self.settled, self.came & 1 == 1);
            // The sender has something else for a chunk that came.
            let listed = self.step();
            if !has_come {
                let digest =
                    listed.ok_or(TransferError::Protocol("skipped what was not claimed"))?;
                held(index, digest)?;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Option<Digest> {
        self.settled += 1;
        self.came >>= 1;
        self.have_list.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    fn order(listed: u8) -> (Order, Option<Sender<Digest>>) {
        let (list, listed_chunks) = channel();
        (0..listed).for_each(|number| list.send(Digest([number; 32])).unwrap());
        (Order::new(listed_chunks), Some(list))
    }

    fn begin(order: &mut Order, index: u32, shared: bool) -> (Result<Arrival, String>, Vec<u32>) {
        let mut held = Vec::new();
        let arrival = order.begin(index, shared, |index, digest| {
            assert_eq!(digest.0[0], index as u8);
            held.push(index);
            Ok(())
        });
        (arrival.map_err(|error| error.to_string()), held)
    }

    #[test]
    fn over_one_connection_what_is_left_out_is_held_at_once() {
        let (mut order, list) = order(5);
        assert_eq!(begin(&mut order, 2, false), (Ok(Arrival::New), vec![0, 1]));
        assert_eq!(begin(&mut order, 4, false), (Ok(Arrival::New), vec![3]));
        assert!(begin(&mut order, 5, false).0.is_err(), "not listed yet");
        drop(list);
        assert!(begin(&mut order, 4, false).0.is_err(), "twice");
        assert!(begin(&mut order, 3, false).0.is_err(), "out of order");
        assert!(begin(&mut order, 6, false).0.is_err(), "5 is not held");
    }

    #[test]
    fn over_several_a_chunk_may_come_late_or_twice() {
        let (mut order, list) = order(0);
        drop(list);
        for index in [3, 0, 2] {
            assert_eq!(begin(&mut order, index, true), (Ok(Arrival::New), vec![]));
        }
        assert_eq!(begin(&mut order, 2, true), (Ok(Arrival::Again), vec![]));
        assert_eq!(begin(&mut order, 0, true), (Ok(Arrival::Again), vec![]));
        assert_eq!(begin(&mut order, 1, true), (Ok(Arrival::New), vec![]));
        assert_eq!((order.settled, order.came), (4, 0));
        order.end(4, |_, _| panic!("all have come")).unwrap();
    }

    #[test]
    fn over_several_what_is_too_far_back_is_held() {
        let (mut order, list) = order(200);
        drop(list);
        assert_eq!(begin(&mut order, 10, true), (Ok(Arrival::New), vec![]));
        assert_eq!(begin(&mut order, 63, true), (Ok(Arrival::New), vec![]));
        let (arrival, held) = begin(&mut order, SPREAD + 11, true);
        assert_eq!((arrival, held), (Ok(Arrival::New), (0..12).filter(|at| *at != 10).collect()));
        let mut rest = Vec::new();
        let held = |index, _| {
            rest.push(index);
            Ok(())
        };
        order.end(80, held).unwrap();
        let expected: Vec<_> = (12..80).filter(|at| ![63, SPREAD + 11].contains(at)).collect();
        assert_eq!(rest, expected);
    }

    #[test]
    fn what_has_not_come_and_is_not_held_is_missed_at_the_end() {
        let (mut order, list) = order(1);
        drop(list);
        assert_eq!(begin(&mut order, 2, true), (Ok(Arrival::New), vec![]));
        assert!(order.end(3, |_, _| Ok(())).is_err());
    }
}
