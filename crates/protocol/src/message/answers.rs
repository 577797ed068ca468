//! Bodies of what a server says.

use minicbor::{Decode, Encode};

use crate::status::Status;
use sealane_base::types::Digest;

/// Body of `WELCOME`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Welcome {
    /// Version of the protocol, the same as the client's.
    #[n(0)]
    pub version: u64,
    /// Program and version of the server.
    #[n(1)]
    pub agent: Option<String>,
    /// Requests that may be unanswered.
    #[n(2)]
    pub max_requests: u32,
    /// Uploads and downloads among them.
    #[n(3)]
    pub max_transfers: u32,
    /// Numbers of features the server knows beyond the version. None is defined.
    #[n(4)]
    pub features: Option<Vec<u64>>,
}

/// Body of `LOGGED_IN`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LoggedIn {
    /// The account.
    #[n(0)]
    pub user: String,
}

/// Body of `KEYS`: the keys the server has, each proved for this connection where it can be.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Keys {
    /// Grows with every change.
    #[n(0)]
    pub epoch: u64,
    /// At most 4.
    #[n(1)]
    pub keys: Vec<AnnouncedKey>,
    /// Signatures of backup keys over the whole list; at most 4.
    #[n(2)]
    pub statements: Option<Vec<KeySignature>>,
}

/// One key of the server.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AnnouncedKey {
    /// DER SubjectPublicKeyInfo.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub public_key: Vec<u8>,
    /// 0 active, 1 next, 2 backup, 3 retired, 4 revoked; a number, because it may grow.
    #[n(1)]
    pub state: u8,
    /// Its signature, if the server holds it.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub proof: Option<Vec<u8>>,
}

/// A signature over a statement, and by which key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeySignature {
    /// DER SubjectPublicKeyInfo of the signer.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub public_key: Vec<u8>,
    /// The signature.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Vec<u8>,
}

/// Body of `ACCEPTED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Accepted {
    /// Claims will follow.
    #[n(0)]
    pub claims: bool,
    /// The server answers `SEEK`.
    #[n(1)]
    pub pieces: Option<bool>,
}

/// Body of `OFFER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Offer {
    /// Size in bytes.
    #[n(0)]
    pub size: u64,
    /// Base-2 logarithm of the chunk size.
    #[n(1)]
    pub chunk_log2: u8,
    /// Modification time, nanoseconds since 1970 UTC.
    #[n(2)]
    pub modified: Option<i64>,
    /// Permission bits.
    #[n(3)]
    pub mode: Option<u32>,
}

/// Map of `FILE`; the file's bytes follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct File {
    /// BLAKE3 of the bytes.
    #[n(0)]
    pub digest: Digest,
    /// Modification time, nanoseconds since 1970 UTC.
    #[n(2)]
    pub modified: Option<i64>,
    /// Permission bits.
    #[n(3)]
    pub mode: Option<u32>,
}

/// What is behind a name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// The name, one component.
    #[n(0)]
    pub name: String,
    /// 0 file, 1 directory, 2 symbolic link, 3 something else; a number, because it may grow.
    #[n(1)]
    pub kind: u8,
    /// Size in bytes.
    #[n(2)]
    pub size: u64,
    /// Modification time, nanoseconds since 1970 UTC.
    #[n(3)]
    pub modified: i64,
    /// Permission bits.
    #[n(4)]
    pub mode: u32,
}

/// Body of `ENTRIES`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entries {
    /// Sorted by name, bytewise.
    #[n(0)]
    pub entries: Vec<Entry>,
    /// There are more names after the last.
    #[n(1)]
    pub more: bool,
    /// Names in the directory that break the rules for paths and are left out.
    #[n(2)]
    pub hidden: u64,
    /// The next `ENTRIES` of this answer follows by itself; only if all of it was asked for.
    #[n(3)]
    pub follows: Option<bool>,
    /// Some of the names that were left out, with a slash behind those of directories and U+FFFD
    /// for what is not UTF-8: to be matched with what people want left out, never to be used as a
    /// path.
    #[n(4)]
    pub unfit: Option<Vec<String>>,
}

/// What an interrupted upload left.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Partial {
    /// 32 hexadecimal digits.
    #[n(0)]
    pub id: String,
    /// Where the file was to go, if that is known.
    #[n(1)]
    pub path: Option<String>,
    /// Bytes on the server's disk.
    #[n(2)]
    pub received: u64,
    /// Bytes the file was to have; 0 if that is not known.
    #[n(3)]
    pub size: u64,
    /// When it was last written to, nanoseconds since 1970 UTC.
    #[n(4)]
    pub modified: i64,
}

/// Body of `PARTIALS_ARE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PartialsAre {
    /// Sorted by id, bytewise.
    #[n(0)]
    pub partials: Vec<Partial>,
    /// There are more after the last.
    #[n(1)]
    pub more: bool,
}

/// Body of `TOKENS_ARE`. It has no `Debug`: it holds tokens.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TokensAre {
    /// Each opens one connection, for 30 seconds.
    #[n(0)]
    pub tokens: Vec<Digest>,
}

impl std::fmt::Debug for TokensAre {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TokensAre(***)")
    }
}

/// Body of `USAGE_IS`, all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct UsageIs {
    /// Files and partials.
    #[n(0)]
    pub used: u64,
    /// Promised to uploads under way.
    #[n(1)]
    pub reserved: u64,
    /// The account's limit.
    #[n(2)]
    pub limit: u64,
}

/// Body of `DIGEST_IS` and `COMMITTED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SizeRoot {
    /// Size in bytes.
    #[n(0)]
    pub size: u64,
    /// BLAKE3 of the file.
    #[n(1)]
    pub root: Digest,
}

/// Body of `RECEIPT_IS`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReceiptIs {
    /// The account.
    #[n(0)]
    pub account: String,
    /// Size in bytes.
    #[n(1)]
    pub size: u64,
    /// BLAKE3 of the file.
    #[n(2)]
    pub root: Digest,
    /// When it was read, in seconds since 1970 UTC.
    #[n(3)]
    pub time: u64,
    /// The signer, a SubjectPublicKeyInfo.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub public_key: Vec<u8>,
    /// Under the text that `protocol::receipt` makes of all this.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub signature: Vec<u8>,
}

/// Body of `REFUSED`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refused {
    /// Number of the status.
    #[n(0)]
    pub number: u16,
    /// For people.
    #[n(1)]
    pub text: String,
    /// Bytes short, with `Quota` and `DiskFull`.
    #[n(2)]
    pub short: Option<u64>,
    /// The account's limit in bytes, with `Quota`.
    #[n(3)]
    pub limit: Option<u64>,
    /// Seconds until it is worth trying again, with `TooManyFailures` and some `Busy`.
    #[n(4)]
    pub wait: Option<u64>,
}

impl Refused {
    /// A refusal with the status's own text.
    #[must_use]
    pub fn new(status: Status) -> Self {
        let (number, text) = (status.number(), status.to_string());
        Self { number, text, short: None, limit: None, wait: None }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::from_number(self.number)
    }
}
