//! Access tokens that platforms hand out for a while: kept with a version, refreshed by
//! compare-and-set, so that of all workers one asks the platform.

use super::at_once;
use super::locks::{self, Name};
use super::outbox::Unit;
use super::sql::Sql;
use super::{Store, StoreError};
use crate::vals;
use async_trait::async_trait;
use std::time::Duration;
use switchboard_channels::kit::secret::Secret;
use switchboard_channels::kit::tokens::{Refresh, Token, Tokens};

/// Whoever refreshes has so long; then somebody else may.
const REFRESH_MS: i64 = 30_000;
/// A token is not used in its last minute: the platform's clock may be ahead of ours.
const MARGIN_MS: i64 = 60_000;

/// The row of a token: value, version, when it ends, until when somebody refreshes it.
type Row = (String, i64, i64, i64);

async fn row<S: Sql>(sql: &mut S, name: &str) -> Result<Option<Row>, StoreError> {
    let row = sql
        .row(
            "SELECT value, version, expires_at, refreshing_until FROM tokens WHERE name = $1",
            vals![name],
        )
        .await?;
    row.map(|mut r| Ok((r.text()?, r.int()?, r.int()?, r.int()?)))
        .transpose()
}

/// Who is to refresh.
async fn refresh<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    name: &str,
    failed: Option<i64>,
) -> Result<Refresh, StoreError> {
    locks::name(sql, Name::Chore("shared tokens")).await?;
    if let Some((value, version, expires_at, refreshing_until)) = row(sql, name).await? {
        let good = !value.is_empty() && expires_at > unit.now.0;
        if good && Some(version) != failed {
            return Ok(Refresh::Newer(Token {
                value: Secret::new(value),
                version,
            }));
        }
        if refreshing_until > unit.now.0 {
            return Ok(Refresh::Busy);
        }
    }
    sql.later(
        "INSERT INTO tokens (name, value, version, expires_at, refreshing_until)
         VALUES ($1, '', 0, 0, $2)
         ON CONFLICT (name) DO UPDATE SET refreshing_until = excluded.refreshing_until",
        vals![name, unit.now.plus(REFRESH_MS).0],
    )
    .await?;
    Ok(Refresh::Yours)
}

#[async_trait]
impl Tokens for Store {
    async fn get(&self, name: &str) -> Option<Token> {
        let name = name.to_owned();
        let found = self.read(move |tx| at_once(row(tx, &name))).await;
        match found {
            Ok(Some((value, version, expires_at, _)))
                if !value.is_empty() && expires_at > super::now().0 =>
            {
                Some(Token {
                    value: Secret::new(value),
                    version,
                })
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "a shared token cannot be read");
                None
            }
        }
    }

    async fn refresh(&self, name: &str, failed: Option<i64>) -> Refresh {
        let name = name.to_owned();
        let asked = self
            .write(move |tx, unit| at_once(refresh(tx, unit, &name, failed)))
            .await;
        match asked {
            Ok((refresh, _)) => refresh,
            Err(error) => {
                tracing::warn!(%error, "a shared token cannot be refreshed now");
                Refresh::Busy
            }
        }
    }

    async fn keep(&self, name: &str, value: Secret, lives: Duration) -> Token {
        let (name, text) = (name.to_owned(), value.expose().to_owned());
        let lives = i64::try_from(lives.as_millis()).unwrap_or(i64::MAX);
        let kept = self
            .write(move |tx, unit| {
                at_once(async {
                    let expires_at = unit.now.plus((lives - MARGIN_MS).max(lives / 2)).0;
                    tx.one(
                        "INSERT INTO tokens (name, value, version, expires_at, refreshing_until)
                         VALUES ($1, $2, 1, $3, 0)
                         ON CONFLICT (name) DO UPDATE SET value = excluded.value,
                            version = tokens.version + 1, expires_at = excluded.expires_at,
                            refreshing_until = 0
                         RETURNING version",
                        vals![&name, &text, expires_at],
                    )
                    .await?
                    .int()
                })
            })
            .await;
        let version = match kept {
            Ok((version, _)) => version,
            Err(error) => {
                // Good for this one use; the next one refreshes again.
                tracing::warn!(%error, "a fresh token is not kept");
                0
            }
        };
        Token { value, version }
    }

    async fn give_up(&self, name: &str) {
        let name = name.to_owned();
        let given = self
            .write(move |tx, _| {
                at_once(tx.exec(
                    "UPDATE tokens SET refreshing_until = 0 WHERE name = $1",
                    vals![&name],
                ))
            })
            .await;
        if let Err(error) = given {
            tracing::warn!(%error, "a refresh ends by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store() -> (Store, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("sb-tokens-{}.db", uuid::Uuid::new_v4()));
        (
            Store::open(&path, Vec::new(), "http://gw.example")
                .await
                .unwrap(),
            path,
        )
    }

    #[tokio::test]
    async fn one_refreshes_for_all() {
        let (store, path) = store().await;
        assert!(store.get("wx").await.is_none());
        assert!(matches!(store.refresh("wx", None).await, Refresh::Yours));
        assert!(matches!(store.refresh("wx", None).await, Refresh::Busy));
        let token = store
            .keep("wx", Secret::new("t1"), Duration::from_secs(7200))
            .await;
        let Refresh::Newer(seen) = store.refresh("wx", None).await else {
            panic!("not newer")
        };
        assert_eq!((seen.value.expose(), seen.version), ("t1", token.version));
        // The one that failed is refreshed; whoever saw an older one fail gets the newer.
        assert!(matches!(
            store.refresh("wx", Some(token.version)).await,
            Refresh::Yours
        ));
        store.give_up("wx").await;
        assert!(matches!(
            store.refresh("wx", Some(token.version)).await,
            Refresh::Yours
        ));
        let next = store
            .keep("wx", Secret::new("t2"), Duration::from_secs(7200))
            .await;
        assert!(next.version > token.version);
        let Refresh::Newer(seen) = store.refresh("wx", Some(token.version)).await else {
            panic!("not newer")
        };
        assert_eq!(seen.value.expose(), "t2");
        assert_eq!(store.get("wx").await.unwrap().version, next.version);
        drop(store);
        std::fs::remove_file(path).unwrap();
    }
}
