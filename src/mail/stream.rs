//! TCP and TLS to a mail server.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use switchboard_channels::kit::mail::{MailServer, Security};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server that has not taken a connection by then is down: even a slow one takes it at once and is
/// slow afterwards.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection to a mail server.
#[derive(Debug)]
pub enum MailStream {
    /// Unprotected: to the loopback, or before `STARTTLS`.
    Plain(TcpStream),
    /// Protected.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Makes connections; knows whom to trust.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
}

impl Connector {
    /// Trusts the public certification authorities, and those in this PEM text.
    ///
    /// # Errors
    /// When a certificate in it cannot be read.
    pub fn new(trusted_ca: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for certificate in CertificateDer::pem_slice_iter(trusted_ca.as_bytes()) {
            let certificate = certificate.map_err(|e| e.to_string())?;
            roots.add(certificate).map_err(|e| e.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Connects; with [`Security::Implicit`] the stream is protected then, with
    /// [`Security::StartTls`] it is still to be, by [`Connector::protect`].
    ///
    /// # Errors
    /// When there is no connection, or its certificate is not trusted.
    pub async fn open(&self, server: &MailServer) -> Result<MailStream, String> {
        let connecting = TcpStream::connect((server.host.as_str(), server.port));
        let tcp = in_time(connecting).await?;
        // Commands are lines that wait for an answer: none may wait for a fuller packet.
        tcp.set_nodelay(true).map_err(|e| e.to_string())?;
        match server.security {
            Security::Implicit => self.wrap(&server.host, tcp).await,
            Security::StartTls => Ok(MailStream::Plain(tcp)),
            Security::Plain => {
                // The configuration names the loopback; the resolver may have another opinion.
                let peer = tcp.peer_addr().map_err(|e| e.to_string())?;
                if peer.ip().to_canonical().is_loopback() {
                    Ok(MailStream::Plain(tcp))
                } else {
                    Err("unprotected mail goes to the loopback only".to_owned())
                }
            }
        }
    }

    /// Protects a stream after `STARTTLS` was granted.
    ///
    /// # Errors
    /// When it is protected already, or the server's certificate is not trusted.
    pub async fn protect(&self, host: &str, stream: MailStream) -> Result<MailStream, String> {
        match stream {
            MailStream::Plain(tcp) => self.wrap(host, tcp).await,
            MailStream::Tls(_) => Err("the connection is protected already".to_owned()),
        }
    }

    async fn wrap(&self, host: &str, tcp: TcpStream) -> Result<MailStream, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|e| format!("{host} can be on no certificate: {e}"))?;
        let tls = in_time(self.tls.connect(name, tcp))
            .await
            .map_err(|e| format!("TLS: {e}"))?;
        Ok(MailStream::Tls(Box::new(tls)))
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(CONNECT_TIMEOUT, work).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_elapsed) => Err(format!("no answer in {} s", CONNECT_TIMEOUT.as_secs())),
    }
}

impl AsyncRead for MailStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for MailStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
