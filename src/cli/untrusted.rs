//! Why a server was not believed, in the words a person needs. Nothing was sent whenever one of
//! these is said.

use time::OffsetDateTime;

use super::{Exit, Failure, errors};
use sealane_base::types::Pin;
use sealane_client::ConnectError;
use sealane_tls::trust::{KnownServer, State, TrustError};
use sealane_tls::{PinMismatch, TlsError};

/// Why there is no session with `server` (`host:port`), of which `known` is stored.
pub(super) fn connecting(
    server: &str,
    error: &ConnectError,
    known: Option<&KnownServer>,
) -> Failure {
    match error {
        ConnectError::Network(error) => {
            Failure::new(Exit::Network, format!("cannot reach {server}: {error}"))
                .hint("is the server running, and do host and port of the address fit it?")
        }
        ConnectError::Timeout(_) => {
            Failure::new(Exit::Network, format!("cannot reach {server}: {error}"))
                .hint("is a firewall in between?")
        }
        ConnectError::Tls(error) => handshake(server, error, known),
        ConnectError::Session(error) => errors::session(server, error),
        ConnectError::NoUser => Failure::new(Exit::Usage, format!("which account at {server}?"))
            .hint(format!("write it into the address: sealane://USER@{server}/…")),
        ConnectError::Unknown => unknown(server),
        ConnectError::NotConfirmed(answer) => not_confirmed(server, answer),
        ConnectError::Revoked => all_revoked(server),
        ConnectError::Trust(error) => store(error),
        ConnectError::Prompt(error) => match error.downcast_ref::<Failure>() {
            Some(failure) => failure.clone(),
            None => Failure::new(Exit::Login, format!("{server}: no password: {error}")),
        },
    }
}

/// The known servers could not be read or changed.
pub(super) fn store(error: &TrustError) -> Failure {
    let exit = match error {
        TrustError::Unknown(_) => Exit::NotFound,
        TrustError::File(_)
        | TrustError::Damaged { .. }
        | TrustError::DamagedEntry { .. }
        | TrustError::Newer { .. }
        | TrustError::Revoked(..) => Exit::Trust,
        _ => Exit::Other,
    };
    Failure::new(exit, error.to_string()).maybe_hint(error.hint())
}

/// The server is not known, and nobody can be asked.
fn unknown(server: &str) -> Failure {
    let message = format!("{server} is not known and no pin was given; your password was not sent");
    Failure::new(Exit::Trust, message).hint(format!(
        "use the address from your administrator (…?pin=sha256.…), which 'sealane-admin address' prints, \
         or run: sealane trust add {server} sha256//…"
    ))
}

/// The question at first contact.
pub(super) fn question(server: &str, pin: &Pin) -> String {
    format!(
        "the server {server} is not known yet. its key is {pin} ({}). compare it with what your \
         administrator gave you ('sealane-admin cert show' prints it). type the first 8 characters \
         after sha256// to trust it, or enter to abort:",
        pin.read_aloud()
    )
}

/// The answer was not the beginning of the key.
fn not_confirmed(server: &str, answer: &str) -> Failure {
    let message = match answer {
        "" => format!("{server} was not trusted; nothing was sent"),
        _ => format!("that is not how the key of {server} begins; nothing was sent"),
    };
    Failure::new(Exit::Trust, message)
}

/// Every key that was given is one that may not be used any more.
fn all_revoked(server: &str) -> Failure {
    Failure::new(Exit::Trust, format!("every key given for {server} was retired or revoked; nothing was sent"))
        .hint("ask the administrator over another channel for the address that 'sealane-admin address' prints now")
}

/// The server announced a key that is accepted from now on.
pub(super) fn learned(server: &str, pin: &Pin) -> String {
    format!(
        "{server} announced a key {pin} (proved); it will be accepted from now on; see: sealane trust \
         show {server}"
    )
}

fn handshake(server: &str, error: &TlsError, known: Option<&KnownServer>) -> Failure {
    let trust = |message: String| Failure::new(Exit::Trust, message);
    let wrong_place = "do host and port of the address fit the server?";
    match error {
        TlsError::PinMismatch(mismatch) => wrong_key(server, mismatch, known),
        TlsError::BadProof => trust(format!(
            "{server} showed the right certificate but could not prove that it owns the key; \
             rotation never causes this; nothing was sent"
        ))
        .hint("somebody is impersonating the server: do not go on over this network"),
        TlsError::NotSealane => trust(format!(
            "{server} speaks TLS but is not a sealane server (no \"sealane/1\" in ALPN)"
        ))
        .hint(wrong_place),
        TlsError::NoTls13 => trust(format!("{server} does not offer TLS 1.3")).hint(wrong_place),
        TlsError::NotTls => trust(format!("{server} does not speak TLS")).hint(wrong_place),
        TlsError::Closed | TlsError::Io(_) => {
            Failure::new(Exit::Network, format!("the connection to {server} failed: {error}"))
        }
        error => trust(format!("the handshake with {server} failed: {error}")),
    }
}

fn wrong_key(server: &str, mismatch: &PinMismatch, known: Option<&KnownServer>) -> Failure {
    let received = mismatch.received;
    let trust = |message: String| Failure::new(Exit::Trust, message);
    if let Some(key) = known.and_then(|known| known.key(&received)) {
        let day = day(key.since);
        match key.state {
            State::Retired => {
                return trust(format!(
                    "{server} uses a key that was retired on {day}: {received}; nothing was sent. it may \
                     have been restored from an old backup, or the old key was stolen"
                ))
                .hint("ask the administrator over another channel what 'sealane-admin cert show' prints");
            }
            State::Revoked => {
                return trust(format!(
                    "{server} uses a key that was revoked on {day}: {received}; nothing was sent. whoever \
                     uses it has stolen it"
                ))
                .hint("do not go on over this network, and tell the administrator");
            }
            State::Active | State::Next | State::Backup => {}
        }
    }
    let expected: Vec<_> = mismatch.expected.iter().map(|pin| described(pin, known)).collect();
    let failure = trust(format!(
        "the key of {server} does not match its pin; nothing was sent. expected: {}. received: {received}. \
         someone may be intercepting this connection, or the server was installed anew outside the \
         rotation procedure",
        expected.join(", ")
    ));
    let ask = "ask the administrator over another channel what 'sealane-admin cert show' prints";
    let stored =
        mismatch.expected.iter().find(|pin| known.is_some_and(|known| known.key(pin).is_some()));
    match stored {
        Some(old) => failure.hint(format!(
            "{ask}; only if it shows {received}: sealane trust replace {server} --old {old} --new {received}"
        )),
        None => failure.hint(format!("{ask}; only if it shows {received}, use the new address")),
    }
}

fn described(pin: &Pin, known: Option<&KnownServer>) -> String {
    match known.and_then(|known| known.key(pin)) {
        Some(key) => format!(
            "{pin} ({}, trusted {}, {})",
            key.state.as_str(),
            day(key.first_seen),
            key.source.as_str()
        ),
        None => format!("{pin} (given)"),
    }
}

/// A day as `2026-11-22`, UTC.
pub(super) fn day(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(time) => format!("{:04}-{:02}-{:02}", time.year(), u8::from(time.month()), time.day()),
        Err(_) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealane_base::types::PinSet;
    use sealane_tls::trust::{HostPort, KnownKey, KnownServers, Source};

    const TRUSTED: i64 = 1_772_409_600; // 2026-03-02
    const AT: &str = "files.example:9901";

    fn pin(name: &str) -> Pin {
        Pin::of_public_key(name.as_bytes())
    }

    fn known(state: Option<State>) -> KnownServer {
        let mut known = KnownServers::default();
        let pins = PinSet::new(vec![pin("a"), pin("b")]).unwrap();
        known.add(&HostPort::parse(AT).unwrap(), &pins, Source::Address, TRUSTED).unwrap();
        let mut server = known.iter().next().unwrap().clone();
        server.keys.extend(state.map(|state| KnownKey {
            pin: pin("c"),
            state,
            source: Source::Rotation,
            first_seen: TRUSTED,
            last_seen: None,
            since: TRUSTED,
        }));
        server
    }

    fn said(error: TlsError, state: Option<State>) -> (String, String) {
        let known = known(state);
        let failure = connecting(AT, &ConnectError::Tls(error), Some(&known));
        assert_eq!(failure.exit, Exit::Trust);
        (failure.message, failure.hint.unwrap())
    }

    fn mismatch() -> TlsError {
        let expected = PinSet::new(vec![pin("a"), pin("b")]).unwrap();
        PinMismatch { received: pin("c"), expected }.into()
    }

    #[test]
    fn a_changed_key() {
        let (a, b, c) = (pin("a"), pin("b"), pin("c"));
        let (message, hint) = said(mismatch(), None);
        assert_eq!(
            message,
            format!(
                "the key of {AT} does not match its pin; nothing was sent. expected: {a} (active, trusted \
                 2026-03-02, address), {b} (backup, trusted 2026-03-02, address). received: {c}. someone may \
                 be intercepting this connection, or the server was installed anew outside the rotation procedure"
            )
        );
        assert_eq!(
            hint,
            format!(
                "ask the administrator over another channel what 'sealane-admin cert show' prints; only if \
                 it shows {c}: sealane trust replace {AT} --old {a} --new {c}"
            )
        );
    }

    #[test]
    fn a_retired_key_and_a_revoked_one() {
        let c = pin("c");
        let (message, hint) = said(mismatch(), Some(State::Retired));
        assert_eq!(
            message,
            format!(
                "{AT} uses a key that was retired on 2026-03-02: {c}; nothing was sent. it may have been \
                 restored from an old backup, or the old key was stolen"
            )
        );
        assert!(hint.starts_with("ask the administrator over another channel"));
        let (message, hint) = said(mismatch(), Some(State::Revoked));
        assert_eq!(
            message,
            format!(
                "{AT} uses a key that was revoked on 2026-03-02: {c}; nothing was sent. whoever uses it has \
                 stolen it"
            )
        );
        assert_eq!(hint, "do not go on over this network, and tell the administrator");
    }

    #[test]
    fn an_impostor_and_what_is_no_sealane_server() {
        assert_eq!(
            said(TlsError::BadProof, None).0,
            format!(
                "{AT} showed the right certificate but could not prove that it owns the key; rotation never \
                 causes this; nothing was sent"
            )
        );
        assert_eq!(
            said(TlsError::NotSealane, None).0,
            format!("{AT} speaks TLS but is not a sealane server (no \"sealane/1\" in ALPN)")
        );
        assert_eq!(said(TlsError::NoTls13, None).0, format!("{AT} does not offer TLS 1.3"));
        assert_eq!(said(TlsError::NotTls, None).0, format!("{AT} does not speak TLS"));
    }

    #[test]
    fn first_contact() {
        let failure = unknown(AT);
        assert_eq!(failure.exit, Exit::Trust);
        assert_eq!(
            failure.message,
            format!("{AT} is not known and no pin was given; your password was not sent")
        );
        assert_eq!(
            failure.hint.unwrap(),
            format!(
                "use the address from your administrator (…?pin=sha256.…), which 'sealane-admin address' \
                 prints, or run: sealane trust add {AT} sha256//…"
            )
        );
        let key = pin("a");
        assert_eq!(
            question(AT, &key),
            format!(
                "the server {AT} is not known yet. its key is {key} ({}). compare it with what your administrator \
                 gave you ('sealane-admin cert show' prints it). type the first 8 characters after sha256// to \
                 trust it, or enter to abort:",
                key.read_aloud()
            )
        );
        assert_eq!(
            not_confirmed(AT, "").message,
            format!("{AT} was not trusted; nothing was sent")
        );
        assert_eq!(
            not_confirmed(AT, "x").message,
            format!("that is not how the key of {AT} begins; nothing was sent")
        );
        assert_eq!(
            all_revoked(AT).message,
            format!("every key given for {AT} was retired or revoked; nothing was sent")
        );
    }
}
