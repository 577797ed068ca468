//! What a further connection proves when it joins a session.

use sealane_base::types::Digest;

/// Label of the TLS exporter that both connections are named by.
pub const EXPORTER: &[u8] = b"EXPORTER-sealane-join";

/// 32 bytes of the TLS exporter of a connection, with the label [`EXPORTER`].
pub type Exporter = [u8; 32];

/// The proof in `JOIN`: keyed BLAKE3 with the token as the key, over the exporter of the session's
/// own connection and that of the connection that joins.
///
/// Whoever read the token somewhere does not know the first, and whoever takes the whole frame to
/// another connection is betrayed by the second.
#[must_use]
pub fn proof(token: &Digest, session: &Exporter, joining: &Exporter) -> Digest {
    let mut hasher = blake3::Hasher::new_keyed(&token.0);
    hasher.update(session).update(joining);
    Digest(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_depends_on_all_three() {
        let (token, session, joining) = (Digest([1; 32]), [2; 32], [3; 32]);
        let good = proof(&token, &session, &joining);
        assert_ne!(good, proof(&Digest([9; 32]), &session, &joining));
        assert_ne!(good, proof(&token, &[9; 32], &joining));
        assert_ne!(good, proof(&token, &session, &[9; 32]));
        assert_ne!(good, proof(&token, &joining, &session));
    }
}
