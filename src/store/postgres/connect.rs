//! From `postgres://…` to connections.

use super::super::StoreError;
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::kit::secret::Secret;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

/// A server that is there takes connections within milliseconds; one that is cut off must not hold
/// callers for long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What was sent and is not acknowledged for so long is lost: the network is cut.
const CUT_OFF: Duration = Duration::from_secs(15);

/// How every session is set.
///
/// - `enable_seqscan`: every statement of the service is bounded by an index, and is to go by it also
///   while tables are young and their statistics say that reading all of one is cheaper. Prepared
///   plans would outlive that age.
/// - `plan_cache_mode`: planning takes longer than any of our statements runs, and no plan of theirs
///   depends on the values that it is run with. While a database grows, plans are made anew all the
///   same: see `Session::begin`.
/// - `jit`: compiling costs more than any of our statements.
/// - `synchronous_commit`: a server that is set to acknowledge before it wrote is overruled; one that
///   waits for its standbys keeps doing so.
/// - The timeouts end what holds rows that everybody wants: a session whose process was stopped in
///   the middle of a unit, or a lock that is not given back.
const SESSION: &str = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; \
    SET jit = off; SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '20s'; SET client_min_messages = warning; \
    SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') = 'off'";

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    /// Host and database, for messages.
    pub(super) name: Arc<str>,
}

impl Connector {
    /// Reads the URL. Beside what the driver knows (`connect_timeout`, `options`,
    /// `target_session_attrs`, several hosts…) it takes `sslmode` (`disable`, or `require` and
    /// stricter, which all check the certificate and the name in it) and `sslrootcert`, a file of the
    /// authorities to be trusted in place of the public ones.
    ///
    /// # Errors
    /// When it is no such URL or the file cannot be read. The password is never in the message.
    pub(super) fn new(url: &Secret) -> Result<Self, StoreError> {
        let wrong = |what: String| StoreError::Open(format!("store.url: {what}"));
        let mut url =
            Url::parse(url.expose()).map_err(|e| wrong(format!("is no URL of a database: {e}")))?;
        let (mut mode, mut authorities) = ("disable".to_owned(), None);
        let mut others = Vec::new();
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "sslmode" => mode = value.into_owned(),
                "sslrootcert" => authorities = Some(value.into_owned()),
                _ => others.push((name.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
        let with_tls = match mode.as_str() {
            "disable" => false,
            "require" | "verify-ca" | "verify-full" => true,
            other => {
                let allowed = "disable, require, verify-ca or verify-full";
                return Err(wrong(format!("sslmode {other} is none of {allowed}")));
            }
        };
        let mut config: tokio_postgres::Config = url
            .as_str()
            .parse()
            .map_err(|e: tokio_postgres::Error| wrong(explained(&e)))?;
        config.ssl_mode(if with_tls {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(CUT_OFF);
        }
        if config.get_application_name().is_none() {
            config.application_name("switchboard");
        }
        let tls = with_tls
            .then(|| tls(authorities.as_deref()).map_err(wrong))
            .transpose()?;
        let host = url.host_str().unwrap_or_default();
        let name = format!("{host}{}", url.path());
        Ok(Self {
            config,
            tls,
            name: name.into(),
        })
    }

    /// Connects, and sets the session. The connection lives as a task of the running runtime.
    pub(super) async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let client = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(run(connection));
                client
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(run(connection));
                client
            }
        };
        client.batch_execute(SESSION).await?;
        Ok(client)
    }
}

/// Moves bytes until the connection ends; whoever waits for an answer is told how it ended.
async fn run(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        tracing::warn!(error = %explained(&error), "a connection to the store was lost");
    }
}

fn tls(authorities: Option<&str>) -> Result<MakeRustlsConnect, String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    match authorities {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let read = |e: rustls::pki_types::pem::Error| format!("sslrootcert {file}: {e}");
            for certificate in CertificateDer::pem_file_iter(file).map_err(read)? {
                roots
                    .add(certificate.map_err(read)?)
                    .map_err(|e| format!("sslrootcert {file}: {e}"))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The driver's error with its cause, which is where the words of server and system are.
pub(super) fn explained(error: &tokio_postgres::Error) -> String {
    use std::error::Error;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}
