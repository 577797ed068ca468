//! The client's half: a configuration for one set of pins, and the handshake.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{
    ALPN, Identity, PinMismatch, ReadAhead, TlsError, TlsStream, WRITE_BUFFER, check_protocol,
    danger, pin_of_certificate, provider,
};
use sealane_base::types::{Pin, PinSet};

/// A configuration that connects to the owner of a key in `pins` and to nobody else.
///
/// # Errors
/// [`TlsError::Protocol`] if the provider does not support TLS 1.3, which ours does.
pub fn client_config(pins: PinSet) -> Result<Arc<ClientConfig>, TlsError> {
    client_config_with(pins, None)
}

/// As [`client_config`], and shows and proves `identity` to that owner, if it asks. Nobody else
/// ever sees it: a client sends its certificate after the server's proof, and encrypted (RFC 8446
/// §4.4.2).
///
/// # Errors
/// As [`client_config`].
pub fn client_config_with(
    pins: PinSet,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13])?;
    let builder = danger::accept_only(pins, builder, &provider);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let only = SingleCertAndKey::from(identity.certified.clone());
            builder.with_client_cert_resolver(Arc::new(only))
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// Does the handshake over `stream`. When this returns, the peer has proved that it owns a pinned
/// key, and no byte of the application has been sent yet.
///
/// Not cancel safe: dropping the future drops the connection.
///
/// # Errors
/// [`TlsError`], by cause.
pub async fn connect<S>(config: Arc<ClientConfig>, stream: S) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    // An IP address is neither sent nor compared with anything; rustls wants a name.
    connect_as(config, ServerName::from(Ipv4Addr::UNSPECIFIED), stream).await
}

/// As [`connect`], asking for the key `wanted`: a server that has several shows this one. What is
/// accepted is up to `config` alone.
///
/// Not cancel safe: dropping the future drops the connection.
///
/// # Errors
/// [`TlsError`], by cause.
pub async fn connect_wanting<S>(
    config: Arc<ClientConfig>,
    wanted: &Pin,
    stream: S,
) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let name = ServerName::try_from(wanted.to_server_name());
    connect_as(config, name.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), stream).await
}

async fn connect_as<S>(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: S,
) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let stream = TlsConnector::from(config)
        .connect_with(name, ReadAhead::new(stream), |connection| {
            connection.set_buffer_limit(Some(WRITE_BUFFER));
        })
        .await?;
    check_protocol(stream.get_ref().1)?;
    Ok(stream.into())
}

/// Which key the peer shows, without trusting it: the handshake is broken off as soon as it is
/// seen, so the peer gets nothing but a `ClientHello` and an alert, and has not proved anything.
///
/// Not cancel safe: dropping the future drops the connection.
///
/// # Errors
/// [`TlsError`], by cause.
pub async fn look<S>(stream: S) -> Result<Pin, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    // No key has this pin: it is that of no bytes at all.
    let Some(nobody) = PinSet::new(vec![Pin::of_public_key(b"")]) else {
        return Err(TlsError::Closed);
    };
    match connect(client_config(nobody)?, stream).await {
        Err(TlsError::PinMismatch(PinMismatch { received, .. })) => Ok(received),
        Err(error) => Err(error),
        Ok(_) => Err(TlsError::BadProof),
    }
}

/// The key with which the peer of a finished handshake has proved itself; `None` if it showed no
/// certificate, as clients may.
#[must_use]
pub fn peer_pin<S>(stream: &TlsStream<S>) -> Option<Pin> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    pin_of_certificate(certificate).ok()
}
