//! Every bound on what a peer may send, in one place.
//!
//! A bound is checked against the announced length before a byte is allocated, and buffers for
//! control messages grow with what arrives, not with what was announced.

use sealane_base::types::chunk::{MAX_CHUNK_LOG2, MIN_CHUNK_LOG2};

/// Body of a small reply or of `HELLO`.
pub const SHORT: u32 = 1024;
/// Body of `LOGIN` and `REFUSED`.
pub const LOGIN: u32 = 4 * 1024;
/// Body of a request with one path, and the CBOR part of `PUT_SMALL` and `FILE`.
pub const REQUEST: u32 = 8 * 1024;
/// Body of a request with two paths.
pub const TWO_PATHS: u32 = 16 * 1024;
/// Body of `ENTRIES`: [`PAGE_ENTRIES`] names of 255 bytes with their numbers.
pub const ENTRIES: u32 = 512 * 1024;
/// Most entries in one `ENTRIES`.
pub const PAGE_ENTRIES: usize = 1000;
/// Most entries of one directory: more is no directory but a server that makes up names.
pub const ENTRIES_IN_ALL: usize = 16 << 20;
/// Most partials in one `PARTIALS_ARE`, each with a path of up to 4096 bytes.
pub const PAGE_PARTIALS: usize = 100;
/// Largest file that goes in one message: one chunk of the smallest size, 1 MiB.
pub const INLINE_FILE: u32 = 1 << MIN_CHUNK_LOG2;
/// Index and digest before a chunk's bytes.
pub const CHUNK_PREFIX: u32 = 36;
/// Body of `CHUNK` with the largest chunk: 4 MiB and its prefix.
pub const CHUNK: u32 = CHUNK_PREFIX + (1 << MAX_CHUNK_LOG2);
/// Most digests in one `CLAIMS`: 32 KiB.
pub const CLAIMS_DIGESTS: usize = 1024;
/// Length and hash of one piece.
pub const PIECE: u32 = 20;
/// Most pieces in one `PIECES`: 20 KiB.
pub const PAGE_PIECES: usize = 1024;
/// Most pieces a sender remembers of a file: 3.3 MiB with their places.
pub const PIECES: usize = 7 << 14;
/// Base-2 logarithms of the average piece that may be asked for.
pub const PIECE_LOG2: std::ops::RangeInclusive<u8> = 16..=19;
/// Most steps in one recipe.
pub const RECIPE_STEPS: usize = 1024;
/// Recipes of one transfer that may be sent and not acknowledged; their bytes count as chunks do.
pub const RECIPES: usize = 64;
/// Bytes of a file that is sent without a turn of its own: every request of a session may hold one.
pub const AT_ONCE: u64 = 64 << 10;
/// Chunks of one transfer that may be sent over one connection and not acknowledged: what an
/// interruption can cost.
pub const WINDOW: usize = 2;
/// Connections of one session, the first one included.
pub const CONNECTIONS: usize = 16;
/// How far a sender may be ahead of the oldest chunk that is not acknowledged, once several
/// connections share a transfer.
pub const SPREAD: u32 = 64;
/// Bytes of chunks that one end of a transfer may hold, whatever the number of connections; but at
/// least one chunk more than over a single one.
pub const TRANSFER_MEMORY: usize = 8 << 20;
/// Requests of one session that may be unanswered.
pub const MAX_REQUESTS: u32 = 64;
/// Uploads and downloads of one session under way at once: at most 8 MiB of buffers each.
pub const MAX_TRANSFERS: u32 = 8;
/// Of those, what every server allows, and a client may count on before it has heard from the
/// server.
pub const FIRST_REQUESTS: u32 = 64;
/// As [`FIRST_REQUESTS`], of transfers.
pub const FIRST_TRANSFERS: u32 = 4;
/// Longest password in bytes.
pub const PASSWORD: usize = 1024;
