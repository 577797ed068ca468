//! The transfer engine: moves chunks between a store and a wire.
//!
//! *The receiver says which chunks it holds, the sender sends those that differ*: fresh transfers,
//! resumption, replacement and download of a changed file are this one algorithm
//! (`docs/PROTOCOL.md` §4), and upload and download are [`send()`] and [`receive()`] with the ends
//! swapped. It sees a file only as a `Source` or a `Sink`; accounts, paths and screens are unknown
//! to it.
//!
//! **Shifted data.** Chunks are what is verified, acknowledged and resumed, whatever travels: when
//! many differ, the receiver tells the pieces of its present version, and a chunk goes as a recipe
//! of them (`recipe`, `assemble`).
//!
//! **Jobs.** A transfer is a future on the caller's `workers::Queue`: it blocks for a chunk at most
//! (read and hash, or check and write), then yields, and waits for the network without a thread.
//! Encryption runs in the connection's tasks at the same time. Buffers go round; nothing is
//! allocated per chunk.
//!
//! **Why it cannot stand still.** The job that writes received chunks waits for the disk only,
//! never for the network (acknowledgements have a queue of their own); the jobs that announce
//! what is held may wait for the network, because nothing waits for them but the peer's sender, and
//! the one that tells pieces: it waits for them, or they for it, never both (`have_list`). So both
//! directions of a connection keep draining whatever the transfers on it do. A peer that makes no
//! progress is given up after the time in `Routes::within`.
//!
//! **Several connections.** A transfer is not bound to one: the sender gives each chunk to the
//! connection with the fewest unacknowledged, the receiver takes chunks as they come. What was on a
//! connection that is lost is read and sent again over another.
//!
//! **Crash.** What was acknowledged is in the partial file. Nothing else is written down: the next
//! attempt hashes the partial and finds out.

mod assemble;
mod buffers;
mod connections;
mod cut;
mod ends;
mod error;
mod have_list;
mod meter;
mod order;
mod peer;
mod receive;
mod recipe;
mod root;
mod routes;
mod send;
mod tell;
mod whole;

#[cfg(test)]
mod tests;

pub use connections::Progress;
pub use ends::{ReceivingEnd, SendingEnd};
pub use error::TransferError;
pub use meter::{FileMeter, Meter, Outcome};
pub use peer::Held;
pub use receive::receive;
pub use root::{root_in_turns, root_of};
pub use routes::{PooledConnection, Route, Routes};
pub use send::send;
pub use whole::{check_whole, load_whole, store_whole};
