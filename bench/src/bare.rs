//! The limit of a webhook: a bare endpoint that checks the signature, parses the JSON and, for the
//! durable form, inserts one row in a grouped commit before it answers. It de-duplicates nothing,
//! knows no users and no conversations.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use switchboard_channels::kit::sign::hmac_sha256;
use tokio::sync::{mpsc, oneshot};

/// Rows of one commit, as many as the gateway takes.
const GROUP_MAX: usize = 256;

/// How the endpoint is started.
#[derive(Args, Clone)]
pub struct Options {
    /// Port on the loopback.
    #[arg(long)]
    port: u16,
    /// SQLite file; without it nothing is durable.
    #[arg(long)]
    sqlite: Option<PathBuf>,
    /// The secret that signs.
    #[arg(long)]
    secret: String,
}

type Row = (String, oneshot::Sender<()>);

#[derive(Clone)]
struct Bare {
    secret: String,
    rows: Option<mpsc::UnboundedSender<Row>>,
}

/// Serves until it is killed.
pub fn serve(options: Options) -> Result<()> {
    let rows = match options.sqlite {
        None => None,
        Some(file) => {
            let (sender, receiver) = mpsc::unbounded_channel();
            let connection = rusqlite::Connection::open(file)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection
                .execute_batch("CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")?;
            std::thread::spawn(move || write(&connection, receiver));
            Some(sender)
        }
    };
    let bare = Bare {
        secret: options.secret,
        rows,
    };
    let port = options.port;
    actix_web::rt::System::new().block_on(async move {
        HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(bare.clone()))
                .app_data(web::PayloadConfig::new(4 * 1024 * 1024))
                .route("/webhooks/{channel}", web::post().to(receive))
                .route("/readyz", web::get().to(HttpResponse::Ok))
        })
        .bind(("127.0.0.1", port))?
        .run()
        .await?;
        Ok(())
    })
}

/// One thread, one transaction for all that wait together.
fn write(connection: &rusqlite::Connection, mut rows: mpsc::UnboundedReceiver<Row>) -> Option<()> {
    while let Some(first) = rows.blocking_recv() {
        connection.execute_batch("BEGIN IMMEDIATE").ok()?;
        let mut group = Vec::with_capacity(GROUP_MAX);
        let mut next = Some(first);
        while let Some((body, reply)) = next.take() {
            let mut insert = connection
                .prepare_cached("INSERT INTO rows (body) VALUES ($1)")
                .ok()?;
            insert.execute([&body]).ok()?;
            group.push(reply);
            if group.len() < GROUP_MAX {
                next = rows.try_recv().ok();
            }
        }
        connection.execute_batch("COMMIT").ok()?;
        for reply in group {
            reply.send(()).ok();
        }
    }
    Some(())
}

async fn receive(bare: web::Data<Bare>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let signature = request.headers().get("x-hub-signature-256");
    let signature = signature.and_then(|s| s.to_str().ok()).unwrap_or_default();
    let expected = hmac_sha256(bare.secret.as_bytes(), &[&body]);
    let given = hex::decode(signature.trim_start_matches("sha256="));
    if given.is_ok_and(|given| given != expected) {
        return HttpResponse::Unauthorized().finish();
    }
    if serde_json::from_slice::<serde_json::Value>(&body).is_err() {
        return HttpResponse::BadRequest().finish();
    }
    if let Some(rows) = &bare.rows {
        let (reply, done) = oneshot::channel();
        let text = String::from_utf8_lossy(&body).into_owned();
        if rows.send((text, reply)).is_err() || done.await.is_err() {
            return HttpResponse::ServiceUnavailable().finish();
        }
    }
    HttpResponse::Ok().finish()
}
