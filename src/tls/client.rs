//! The client's half: a configuration for one set of pins, and the handshake.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{ALPN, ReadAhead, TlsError, TlsStream, WRITE_BUFFER, check_protocol, danger, provider};
use crate::types::PinSet;

/// A configuration that connects to the owner of a key in `pins` and to nobody else.
///
/// # Errors
/// [`TlsError::Protocol`] if the provider does not support TLS 1.3, which ours does.
pub fn client_config(pins: PinSet) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13])?;
    let mut config = danger::accept_only(pins, builder, &provider).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
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
    // The name is neither sent nor compared with anything; rustls wants one.
    let name = ServerName::from(Ipv4Addr::UNSPECIFIED);
    let stream = TlsConnector::from(config)
        .connect_with(name, ReadAhead::new(stream), |connection| {
            connection.set_buffer_limit(Some(WRITE_BUFFER));
        })
        .await?;
    check_protocol(stream.get_ref().1)?;
    Ok(stream.into())
}
