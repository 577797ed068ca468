//! A man in the middle: passes everything on, or ends TLS himself, with his own key, with the real
//! certificate and another key, or with a stolen key. Notes every byte a client sends him then.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme};

/// What he does with the next connection.
#[derive(Clone)]
pub enum Mode {
    Honest,
    Attack(Arc<ServerConfig>),
}

/// What a client did to an attack.
#[derive(Debug)]
pub struct Heard {
    /// Type and length of each TLS record.
    pub records: Vec<(u8, usize)>,
    /// How the handshake ended on his side.
    pub end: Result<(), String>,
}

pub struct Middle {
    pub address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Middle {
    pub fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(Mutex::new(Mode::Honest));
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let (now, notes) = (mode.clone(), heard.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mode = now.lock().unwrap().clone();
                match mode {
                    Mode::Honest => {
                        let Ok(far) = TcpStream::connect(target) else { continue };
                        pass(near.try_clone().unwrap(), far.try_clone().unwrap());
                        pass(far, near);
                    }
                    Mode::Attack(config) => notes.lock().unwrap().push(attack(near, config)),
                }
            }
        });
        Self { address, mode, heard }
    }

    /// Shows `certificate` and signs with `key` (PEM files) while `work` runs; returns what he
    /// heard.
    pub fn attack(&self, certificate: &Path, key: &Path, work: impl FnOnce()) -> Vec<Heard> {
        let certificate = CertificateDer::from_pem_file(certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(Curious))
            .with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![b"sealane/1".to_vec()];
        *self.mode.lock().unwrap() = Mode::Attack(Arc::new(config));
        work();
        *self.mode.lock().unwrap() = Mode::Honest;
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl Heard {
    /// A `ClientHello` and an alert, which may be encrypted: one byte each of level, description
    /// and type, and the tag. Between them the empty change of cipher that middleboxes want to see.
    #[track_caller]
    pub fn is_only_hello_and_alert(&self) {
        let (first, rest) = self.records.split_first().expect("a ClientHello");
        assert_eq!(first.0, 22, "{self:?}");
        let rest: Vec<_> = rest.iter().filter(|record| **record != (20, 1)).collect();
        assert!(matches!(rest[..], [(21, 2)] | [(23, 19)]), "{self:?}");
        let end = self.end.as_ref().unwrap_err();
        assert!(end.contains("alert"), "{self:?}");
    }
}

/// Would like to see any certificate of a client, and believes it.
#[derive(Debug)]
struct Curious;

impl ClientCertVerifier for Curious {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

struct Noting<S> {
    stream: S,
    bytes: Vec<u8>,
}

impl<S: Read> Read for Noting<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl<S: Write> Write for Noting<S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn attack(stream: TcpStream, config: Arc<ServerConfig>) -> Heard {
    let mut connection = ServerConnection::new(config).unwrap();
    let mut noting = Noting { stream, bytes: Vec::new() };
    let mut end = Ok(());
    while end.is_ok() && connection.is_handshaking() {
        end = connection.complete_io(&mut noting).map(drop).map_err(|error| error.to_string());
    }
    let _ = noting.stream.set_read_timeout(Some(std::time::Duration::from_secs(5)));
    let _ = io::copy(&mut noting, &mut io::sink()); // whatever else he is told
    let (mut records, mut rest) = (Vec::new(), &noting.bytes[..]);
    while let [kind, _, _, high, low, after @ ..] = rest {
        let length = usize::from(*high) << 8 | usize::from(*low);
        records.push((*kind, length));
        rest = after.get(length..).unwrap_or_default();
    }
    Heard { records, end }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
