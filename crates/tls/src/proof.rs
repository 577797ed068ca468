//! Signatures by a key outside a handshake: what they sign is the caller's business.

use rustls::SignatureScheme;

use super::{TlsError, TlsStream, provider};

/// The DER in front of the key itself in a SubjectPublicKeyInfo (RFC 8410 §4, RFC 5480 §2), and the
/// scheme that such a key signs with.
const KINDS: [(&[u8], SignatureScheme); 3] = [
    (b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", SignatureScheme::ED25519),
    (
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\
          \x03\x42\x00",
        SignatureScheme::ECDSA_NISTP256_SHA256,
    ),
    (
        b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
        SignatureScheme::ECDSA_NISTP384_SHA384,
    ),
];

/// The key itself in a SubjectPublicKeyInfo, and how it signs.
fn kind_of(public_key: &[u8]) -> Option<(&[u8], SignatureScheme)> {
    KINDS.iter().find_map(|(prefix, scheme)| Some((public_key.strip_prefix(*prefix)?, *scheme)))
}

/// How the owner of `public_key` (DER SubjectPublicKeyInfo) signs; `None` for kinds that we do not
/// know.
pub(super) fn scheme_of(public_key: &[u8]) -> Option<SignatureScheme> {
    kind_of(public_key).map(|(_, scheme)| scheme)
}

/// True if the owner of `public_key` (DER SubjectPublicKeyInfo; Ed25519, P-256 or P-384) signed
/// `message`.
#[must_use]
pub fn is_signed(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Some((key, scheme)) = kind_of(public_key) else { return false };
    let supported = provider().signature_verification_algorithms;
    let algorithms = supported.mapping.iter().filter(|(of, _)| *of == scheme);
    algorithms
        .flat_map(|(_, algorithms)| algorithms.iter())
        .any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}

/// 32 bytes that both ends of this connection know and nobody else, whatever is played back
/// elsewhere.
///
/// # Errors
/// [`TlsError::Protocol`] before the handshake is done.
pub fn exporter<S>(stream: &TlsStream<S>, label: &[u8]) -> Result<[u8; 32], TlsError> {
    let exported = match stream {
        TlsStream::Client(stream) => {
            stream.get_ref().1.export_keying_material([0; 32], label, None)
        }
        TlsStream::Server(stream) => {
            stream.get_ref().1.export_keying_material([0; 32], label, None)
        }
    };
    Ok(exported?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    #[test]
    fn every_kind_of_key_signs_and_is_verified() {
        for algorithm in
            [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384]
        {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let pem = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
            let one = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
            let (public, signature) = (one.public_key(), one.sign(b"message").unwrap());
            assert_eq!(sealane_base::types::Pin::of_public_key(&public), one.pin());
            assert!(is_signed(&public, b"message", &signature));
            assert!(!is_signed(&public, b"massage", &signature));
            assert!(!is_signed(&public, b"message", &signature[1..]));
            assert!(!is_signed(&public[1..], b"message", &signature));
        }
    }
}
