//! TLS 1.3 with pinned keys: identities, configurations, handshakes, and what went wrong in them.
//!
//! It takes any byte stream and gives back one whose peer has proved that it owns a pinned key and
//! speaks [`ALPN`]. It opens no file and no socket, sets no deadline (callers wrap a handshake in
//! theirs), and authorises nobody. There is no TLS 1.2, no session resumption, no early data and
//! no way to skip the proof.
//!
//! A client's handshake is over before the server has read the end of it: only the first answer
//! shows that the server was content as well.

mod certificate;
mod client;
mod danger;
mod error;
pub mod generate;
mod identity;
mod proof;
mod read_ahead;
mod server;
pub mod socket;
#[cfg(test)]
mod tests;
pub mod trust;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{CommonState, SignatureScheme};

pub use certificate::pin_of_certificate;
pub use client::{client_config, client_config_with, connect, connect_wanting, look, peer_pin};
pub use error::{BadCertificate, IdentityError, PinMismatch, TlsError};
pub use identity::{Identity, pin_of_pem, public_key_of_pem};
pub use proof::{exporter, is_signed};
pub use read_ahead::ReadAhead;
pub use server::{
    accept, accept_unnamed, certificate_chain, config_without_client_keys, server_config,
};

/// The application protocol that both ends insist on (RFC 7301).
pub const ALPN: &[u8] = b"sealane/1";

/// A connection whose handshake is done. Written bytes may stay in it until it is flushed.
///
/// A peer that goes away without TLS's closing alert reads as `UnexpectedEof`, never as an end of
/// data.
pub type TlsStream<S> = tokio_rustls::TlsStream<ReadAhead<S>>;

/// Key exchanges in order of preference: the hybrid first, so that what is recorded today stays
/// closed to a quantum computer later.
const KEY_EXCHANGES: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// Kinds of server key, as the signatures they make. Small keys only; a certificate with another
/// kind of key is refused here and could not prove itself to our clients.
const SIGNATURE_SCHEMES: [SignatureScheme; 3] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
];

/// Kinds of client key.
const CLIENT_SCHEMES: [SignatureScheme; 2] =
    [SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256];

/// How much encrypted data a connection may hold before a write waits for the network.
///
/// With rustls' 64 KiB a chunk of 1 MiB leaves in sixteen small system calls, with this in four.
/// On loopback the throughput of 64, 256, 512 and 1024 KiB could not be told apart, so there is no
/// reason to let every slow peer hold more.
const WRITE_BUFFER: usize = 256 << 10;

// One provider, named: a process-wide default could be installed by anything that is linked in.
fn provider() -> Arc<CryptoProvider> {
    let kx_groups = KEY_EXCHANGES.to_vec();
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

// rustls checks a protocol that was agreed on, and accepts that none was: so both ends ask here.
fn check_protocol(connection: &CommonState) -> Result<(), TlsError> {
    if connection.alpn_protocol() == Some(ALPN) { Ok(()) } else { Err(TlsError::NotSealane) }
}
