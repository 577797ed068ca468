//! From the announcement of a server's keys to what it is worth: every signature is verified here.

use sealane_base::types::Pin;
use sealane_protocol::keys::{proof, statement};
use sealane_protocol::message::Keys;
use sealane_tls::is_signed;
use sealane_tls::trust::{Announced, AnnouncedKey, MAX_ANNOUNCED, Proof, State};

/// Verifies what came over the connection that `exporter` names. More keys than may be announced
/// are handed on as they are, without work, to be refused.
pub(super) fn verify(keys: &Keys, exporter: &[u8; 32]) -> Announced {
    let is_too_many = keys.keys.len() > MAX_ANNOUNCED;
    let list: Vec<_> =
        keys.keys.iter().map(|key| (key.state, Pin::of_public_key(&key.public_key))).collect();
    let verified = keys.keys.iter().zip(&list).map(|(key, (state, pin))| {
        let proof = match &key.proof {
            _ if is_too_many => Proof::Absent,
            None => Proof::Absent,
            Some(signature) => {
                let message = proof(exporter, keys.epoch, &key.public_key);
                let is_good = is_signed(&key.public_key, &message, signature);
                if is_good { Proof::Good } else { Proof::Bad }
            }
        };
        AnnouncedKey { pin: *pin, state: State::from_number(*state), proof }
    });
    let message = statement(keys.epoch, &list);
    let statements = keys.statements.iter().flatten().take(MAX_ANNOUNCED);
    let signers = statements
        .filter(|one| is_signed(&one.public_key, &message, &one.signature))
        .map(|one| Pin::of_public_key(&one.public_key));
    Announced { epoch: keys.epoch, keys: verified.collect(), signers: signers.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealane_protocol::message::{AnnouncedKey as Key, KeySignature};
    use sealane_tls::{Identity, generate::key_pair};

    fn identity() -> Identity {
        let made = key_pair(time::OffsetDateTime::UNIX_EPOCH).unwrap();
        let (certificate, key) = (made.certificate_pem, made.key_pem);
        Identity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap()
    }

    fn announce(key: &Identity, signer: &Identity, exporter: &[u8; 32], epoch: u64) -> Keys {
        let public_key = key.public_key();
        let signature = signer.sign(&proof(exporter, epoch, &public_key));
        let message = statement(epoch, &[(0, key.pin())]);
        let statement = KeySignature {
            public_key: signer.public_key(),
            signature: signer.sign(&message).unwrap(),
        };
        let keys = vec![Key { public_key, state: 0, proof: signature }];
        Keys { epoch, keys, statements: Some(vec![statement]) }
    }

    #[test]
    fn a_proof_is_good_for_one_connection_one_epoch_and_its_own_key() {
        let (key, other) = (identity(), identity());
        let keys = announce(&key, &key, &[1; 32], 7);
        let verified = verify(&keys, &[1; 32]);
        assert_eq!((verified.keys[0].proof, verified.keys[0].pin), (Proof::Good, key.pin()));
        assert_eq!(verified.signers, [key.pin()]);
        assert_eq!(verify(&keys, &[2; 32]).keys[0].proof, Proof::Bad, "played back");
        let later = verify(&Keys { epoch: 8, ..keys.clone() }, &[1; 32]);
        assert_eq!((later.keys[0].proof, later.signers), (Proof::Bad, vec![]));
        let foreign = verify(&announce(&key, &other, &[1; 32], 7), &[1; 32]);
        assert_eq!((foreign.keys[0].proof, foreign.signers), (Proof::Bad, vec![other.pin()]));
        let mut many = keys;
        many.keys = vec![many.keys[0].clone(); 5];
        assert!(verify(&many, &[1; 32]).keys.iter().all(|key| key.proof == Proof::Absent));
    }
}
