//! Frame headers and the fixed binary frames of a transfer.
//!
//! A header is checked whole before anything is allocated: type, direction, flags, bound.

use thiserror::Error;

pub use super::chunks::{ChunkPrefix, ClaimsPage};
use super::limits;

/// Bytes of a header.
pub const HEADER: usize = 10;
/// Flag of `CLAIMS` and `PIECES`: no more will follow.
pub const LAST: u8 = 0x01;
/// Flag of `ACK`: the recipe did not make the chunk, its bytes are wanted.
pub const AGAIN: u8 = 0x01;

/// Which end of a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that connected.
    Client,
    /// The end that was connected to.
    Server,
}

/// A frame that ends the connection.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The body does not have the form its type has.
    #[error("malformed body of a {0:?} frame")]
    Body(Kind),
    /// A flag that the type does not name.
    #[error("unknown flags 0x{0:02x}")]
    Flags(u8),
    /// The announced length is above the bound of the type.
    #[error("a {kind:?} frame of {length} bytes is above its bound of {bound}")]
    Length {
        /// The frame's type.
        kind: Kind,
        /// The announced length in bytes.
        length: u32,
        /// The bound in bytes.
        bound: u32,
    },
    /// The type is not known, or the other direction owns it.
    #[error("a frame of type 0x{0:02x} is not expected here")]
    Type(u8),
    /// The frame is well-formed and comes at the wrong time.
    #[error("a {0:?} frame is not expected now")]
    State(Kind),
    /// A request id that is not greater than the one before.
    #[error("request id {0} was used before")]
    Id(u32),
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $sender:expr, $bound:expr;)*) => {
        /// Type of a frame (`docs/PROTOCOL.md` §2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $number,)* }

        impl Kind {
            /// Every type, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The type with this number on the wire.
            #[must_use]
            pub fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($number => Some(Self::$name),)* _ => None }
            }

            /// The only side that may send it, or `None` if both may.
            #[must_use]
            pub fn sender(self) -> Option<Side> {
                match self { $(Self::$name => $sender,)* }
            }

            /// Largest body in bytes.
            #[must_use]
            pub fn bound(self) -> u32 {
                match self { $(Self::$name => $bound,)* }
            }
        }
    };
}

impl Kind {
    /// Whether it belongs to a file under way, in either direction.
    #[must_use]
    pub fn is_of_a_transfer(self) -> bool {
        let chunks = matches!(self, Self::Chunk | Self::Recipe | Self::End | Self::Ack);
        chunks || matches!(self, Self::Claims | Self::Seek | Self::Pieces)
    }
}

const CLIENT: Option<Side> = Some(Side::Client);
const SERVER: Option<Side> = Some(Side::Server);
const BOTH: Option<Side> = None;

kinds! {
    /// First frame of a client.
    Hello = 0x01, CLIENT, limits::SHORT;
    /// Account, and password unless the connection's key is to do.
    Login = 0x02, CLIENT, limits::LOGIN;
    /// First frame of a further connection to a session.
    Join = 0x03, CLIENT, limits::SHORT;
    /// Begins an upload.
    Put = 0x10, CLIENT, limits::REQUEST;
    /// A whole file of one chunk.
    PutSmall = 0x11, CLIENT, limits::REQUEST + limits::INLINE_FILE;
    /// Begins a download.
    Get = 0x12, CLIENT, limits::REQUEST;
    /// A page of a directory.
    List = 0x13, CLIENT, limits::REQUEST;
    /// One entry.
    Stat = 0x14, CLIENT, limits::REQUEST;
    /// Makes a directory.
    MakeDirectory = 0x15, CLIENT, limits::REQUEST;
    /// Removes a file or directory.
    Remove = 0x16, CLIENT, limits::REQUEST;
    /// Moves or renames.
    Rename = 0x17, CLIENT, limits::TWO_PATHS;
    /// Asks for the account's usage.
    Usage = 0x18, CLIENT, limits::SHORT;
    /// Asks for a file's root.
    DigestOf = 0x19, CLIENT, limits::REQUEST;
    /// A page of what interrupted uploads left.
    Partials = 0x1a, CLIENT, limits::SHORT;
    /// Removes one of those.
    DiscardPartial = 0x1b, CLIENT, limits::SHORT;
    /// Lets the key of this connection log in from now on.
    Enroll = 0x1c, CLIENT, limits::SHORT;
    /// Asks for the server's signature under what a file holds.
    ReceiptOf = 0x1d, CLIENT, limits::REQUEST;
    /// Asks for tokens that open further connections.
    Tokens = 0x1e, CLIENT, limits::SHORT;
    /// Gives a request up.
    Cancel = 0x1f, CLIENT, 0;
    /// Sets time and mode of a file or directory.
    SetMeta = 0x20, CLIENT, limits::REQUEST;
    /// Answers `Hello`.
    Welcome = 0x41, SERVER, limits::SHORT;
    /// Answers `Login`.
    LoggedIn = 0x42, SERVER, limits::SHORT;
    /// The server's keys; comes before `LoggedIn`, with id 0.
    Keys = 0x43, SERVER, limits::LOGIN;
    /// Answers `Join`.
    Joined = 0x44, SERVER, limits::SHORT;
    /// Answers `Put`: go ahead.
    Accepted = 0x50, SERVER, limits::SHORT;
    /// Answers `Get`: what will come.
    Offer = 0x51, SERVER, limits::SHORT;
    /// Answers `Get`: a whole file of one chunk.
    File = 0x52, SERVER, limits::REQUEST + limits::INLINE_FILE;
    /// Answers `List`.
    Entries = 0x53, SERVER, limits::ENTRIES;
    /// Answers `Stat`.
    Entry = 0x54, SERVER, limits::SHORT;
    /// Answers a request that has nothing to tell but success.
    Done = 0x55, SERVER, limits::SHORT;
    /// Answers `Usage`.
    UsageIs = 0x56, SERVER, limits::SHORT;
    /// Answers `DigestOf`.
    DigestIs = 0x57, SERVER, limits::SHORT;
    /// Ends an upload: durable under its name.
    Committed = 0x58, SERVER, limits::SHORT;
    /// Answers `Partials`.
    PartialsAre = 0x59, SERVER, limits::ENTRIES;
    /// Answers `ReceiptOf`.
    ReceiptIs = 0x5a, SERVER, limits::SHORT;
    /// Answers `Tokens`.
    TokensAre = 0x5b, SERVER, limits::SHORT;
    /// Ends a request without success.
    Refused = 0x7f, SERVER, limits::LOGIN;
    /// One chunk of a file.
    Chunk = 0x80, BOTH, limits::CHUNK;
    /// The root of what was sent.
    End = 0x81, BOTH, 32;
    /// Digests of chunks the receiver holds.
    Claims = 0x82, BOTH, 4 + 32 * limits::CLAIMS_DIGESTS as u32;
    /// A chunk was verified and written.
    Ack = 0x83, BOTH, 4;
    /// Are you there?
    Ping = 0x84, BOTH, 8;
    /// Yes.
    Pong = 0x85, BOTH, 8;
    /// Asks for the pieces of the version that the receiver has.
    Seek = 0x86, BOTH, 1;
    /// Lengths and hashes of those pieces.
    Pieces = 0x87, BOTH, limits::PIECE * limits::PAGE_PIECES as u32;
    /// One chunk of a file, put together from the version that the receiver has.
    Recipe = 0x88, BOTH, limits::CHUNK;
}

/// A checked frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type of the frame.
    pub kind: Kind,
    /// Flags; only `CLAIMS`, `PIECES` and `ACK` have one.
    pub flags: u8,
    /// Id of the request the frame belongs to; 0 for `PING` and `PONG`.
    pub id: u32,
    /// Length of the body in bytes, at most the type's bound.
    pub length: u32,
}

impl Header {
    /// A header without flags.
    #[must_use]
    pub fn new(kind: Kind, id: u32, length: u32) -> Self {
        Self { kind, flags: 0, id, length }
    }

    /// The ten bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER] {
        let [i0, i1, i2, i3] = self.id.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [self.kind as u8, self.flags, i0, i1, i2, i3, l0, l1, l2, l3]
    }

    /// Reads and checks a header that `from` sent.
    ///
    /// # Errors
    /// [`FrameError`] for an unknown type, the wrong direction, unnamed flags or a length above the
    /// type's bound.
    pub fn decode(bytes: &[u8; HEADER], from: Side) -> Result<Self, FrameError> {
        let [kind_byte, flags, i0, i1, i2, i3, l0, l1, l2, l3] = *bytes;
        let kind = Kind::from_byte(kind_byte)
            .filter(|kind| kind.sender().is_none_or(|sender| sender == from))
            .ok_or(FrameError::Type(kind_byte))?;
        let named = match kind {
            Kind::Claims | Kind::Pieces => LAST,
            Kind::Ack => AGAIN,
            _ => 0,
        };
        if flags & !named != 0 {
            return Err(FrameError::Flags(flags));
        }
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if length > kind.bound() {
            return Err(FrameError::Length { kind, length, bound: kind.bound() });
        }
        Ok(Self { kind, flags, id: u32::from_be_bytes([i0, i1, i2, i3]), length })
    }
}

/// A whole frame with a body of fixed bytes (`END`, `ACK`, `PING`, `PONG`, `CANCEL`).
#[must_use]
pub fn fixed(kind: Kind, id: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = Header::new(kind, id, length).encode().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

/// A whole `ACK`: so many are sent that they have no memory of their own.
pub type Acknowledgement = [u8; HEADER + 4];

/// An `ACK` of chunk `index` of transfer `id`; with `again`, of a recipe that did not make it.
#[must_use]
pub fn acknowledgement(id: u32, index: u32, again: bool) -> Acknowledgement {
    let flags = if again { AGAIN } else { 0 };
    let mut frame = [0; HEADER + 4];
    let (header, body) = frame.split_at_mut(HEADER);
    header.copy_from_slice(&Header { kind: Kind::Ack, flags, id, length: 4 }.encode());
    body.copy_from_slice(&index.to_be_bytes());
    frame
}

/// Reads a body that must have exactly `N` bytes.
///
/// # Errors
/// [`FrameError::Body`] for any other length.
pub fn exactly<const N: usize>(kind: Kind, body: &[u8]) -> Result<[u8; N], FrameError> {
    body.try_into().map_err(|_| FrameError::Body(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_reads_back_from_its_own_side_only() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_byte(kind as u8), Some(kind));
            let header = Header::new(kind, 7, kind.bound());
            for side in [Side::Client, Side::Server] {
                let expected = if kind.sender().is_none_or(|sender| sender == side) {
                    Ok(header)
                } else {
                    Err(FrameError::Type(kind as u8))
                };
                assert_eq!(Header::decode(&header.encode(), side), expected);
            }
        }
    }

    #[test]
    fn one_byte_above_the_bound_is_refused() {
        for &kind in Kind::ALL {
            let side = kind.sender().unwrap_or(Side::Client);
            let length = kind.bound() + 1;
            let bytes = Header::new(kind, 1, length).encode();
            let bound = kind.bound();
            assert_eq!(
                Header::decode(&bytes, side),
                Err(FrameError::Length { kind, length, bound })
            );
        }
    }

    #[test]
    fn few_types_have_a_flag() {
        let flagged = [Kind::Claims, Kind::Pieces, Kind::Ack];
        for &kind in Kind::ALL {
            let side = kind.sender().unwrap_or(Side::Client);
            for flags in [1u8, 2, 0x80] {
                let header = Header { kind, flags, id: 1, length: 0 };
                let allowed = flagged.contains(&kind) && flags == 1;
                assert_eq!(Header::decode(&header.encode(), side).is_ok(), allowed);
            }
        }
    }

    proptest! {
        #[test]
        fn any_ten_bytes_are_read_or_refused(bytes: [u8; HEADER]) {
            for side in [Side::Client, Side::Server] {
                if let Ok(header) = Header::decode(&bytes, side) {
                    prop_assert_eq!(header.encode(), bytes);
                    prop_assert!(header.length <= header.kind.bound());
                }
            }
        }
    }
}
