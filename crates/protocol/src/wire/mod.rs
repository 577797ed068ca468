//! Frames over a byte stream: one reader, one writer, recycled chunk buffers.
//!
//! It works on any `AsyncRead + AsyncWrite`, knows nothing of TLS or sockets below and nothing of
//! requests above. It never interprets a message.

mod buffer;
mod error;
mod memory;
mod read;
mod stall;
mod write;

pub use buffer::{BufferPool, ChunkBuffer};
pub use error::WireError;
pub use memory::{Loan, Memory, Share};
pub use read::FrameReader;
pub use stall::{SLOWEST, Stall, StallTimer};
pub use write::{FrameSender, Hold, Outbox, outbox, write_frames};
