//! The server's half: a configuration for one identity, and the handshake.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::{
    ALPN, Identity, IdentityError, ReadAhead, TlsError, TlsStream, WRITE_BUFFER, danger, provider,
};

/// How long and how much a client that was refused is listened to.
const HEAR_OUT: Duration = Duration::from_secs(1);
const HEAR_OUT_BYTES: u64 = 1 << 20;

/// A configuration that shows and proves `active`; one of `others` to a client that asks for it by
/// its pin ([`Pin::to_server_name`](sealane_base::types::Pin::to_server_name)).
///
/// Sessions cannot be resumed and nothing is accepted before the handshake is complete, so
/// every connection proves everything anew.
///
/// # Errors
/// [`TlsError::Protocol`] if the provider does not support TLS 1.3, which ours does.
pub fn server_config(
    active: Identity,
    others: Vec<Identity>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let named = |other: Identity| (other.pin().to_server_name(), other.certified);
    let others = others.into_iter().map(named).collect();
    let certificates = ByName { active: active.certified, others };
    Ok(Arc::new(config_for(Arc::new(certificates))?))
}

/// Shows a client the key that it hopes for, if we have it.
#[derive(Debug)]
struct ByName {
    active: Arc<CertifiedKey>,
    others: Vec<(String, Arc<CertifiedKey>)>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.server_name();
        let other = self.others.iter().find(|(name, _)| Some(name.as_str()) == wanted);
        Some(other.map_or(&self.active, |(_, key)| key).clone())
    }
}

/// The configuration around any source of certificates: one that changes its mind fits as well.
pub(super) fn config_for(
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13])?;
    let mut config = danger::ask_for_key(builder, provider).with_cert_resolver(certificates);
    config.alpn_protocols = vec![ALPN.to_vec()];
    without_resumption(&mut config);
    Ok(config)
}

/// A configuration for clients that prove themselves with a password or not at all: it asks for no
/// key, and shows what `certificates` gives.
///
/// Sessions cannot be resumed here either.
///
/// # Errors
/// As [`server_config`].
pub fn config_without_client_keys(
    certificates: Arc<dyn ResolvesServerCert>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    without_resumption(&mut config);
    Ok(config)
}

fn without_resumption(config: &mut ServerConfig) {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
}

/// A certificate with those that vouch for it, and its key, as an authority gives them to web
/// servers: any kind of key that the provider knows.
///
/// # Errors
/// [`IdentityError`].
pub fn certificate_chain(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, IdentityError> {
    let malformed = |_quoting| IdentityError::Malformed("certificate");
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let found = found.map_err(malformed)?;
    if found.is_empty() {
        return Err(IdentityError::Missing("certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_quoting| IdentityError::Malformed("private key"))?;
    let key = provider().key_provider.load_private_key(key);
    let certified = CertifiedKey::new(found, key.map_err(|_refused| IdentityError::UnusableKey)?);
    certified.keys_match().map_err(|_differ| IdentityError::KeyMismatch)?;
    Ok(Arc::new(certified))
}

/// Says goodbye and reads on for a moment. A client that was refused has perhaps said more already,
/// and a connection that is closed with something unread is reset: the alert that says why would be
/// lost.
async fn hear_out<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let reading = async {
        let _ = stream.shutdown().await;
        let mut rest = stream.take(HEAR_OUT_BYTES);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    };
    let _ = tokio::time::timeout(HEAR_OUT, reading).await;
}

/// Does the handshake over `stream`, for one of the protocols that `config` names. The peer is
/// anybody, and who it is, the session finds out; a key that it showed
/// ([`peer_pin`](super::peer_pin)) it has proved.
///
/// Not cancel safe: dropping the future drops the connection.
///
/// # Errors
/// [`TlsError`], by cause; rustls has sent the fitting alert, where TLS has one.
pub async fn accept<S>(config: Arc<ServerConfig>, stream: S) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let protocols = config.alpn_protocols.clone();
    let stream = shake_hands(config, stream).await?;
    // rustls checks a protocol that was agreed on, and accepts that none was.
    let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    if agreed.is_none_or(|agreed| !protocols.contains(&agreed)) {
        hear_out(stream).await;
        return Err(TlsError::NotSealane);
    }
    Ok(stream)
}

/// As [`accept`], for a protocol whose clients need not name it: one that names others alone is
/// refused, one that names none is not.
///
/// # Errors
/// As [`accept`].
pub async fn accept_unnamed<S>(
    config: Arc<ServerConfig>,
    stream: S,
) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    shake_hands(config, stream).await
}

async fn shake_hands<S>(config: Arc<ServerConfig>, stream: S) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let accepting = TlsAcceptor::from(config)
        .accept_with(ReadAhead::new(stream), |connection| {
            connection.set_buffer_limit(Some(WRITE_BUFFER));
        })
        .into_fallible();
    let stream = match accepting.await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            let error = TlsError::from(error);
            if matches!(error, TlsError::BadCertificate(_) | TlsError::BadProof) {
                hear_out(stream).await;
            }
            return Err(error);
        }
    };
    Ok(stream.into())
}
