//! Parameters on their way into PostgreSQL, and rows on their way out.

use super::super::StoreError;
use super::super::sql::{Cell, Row, Val};
use std::borrow::Cow;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A parameter that outlives its call: a statement that nobody waits for is still being sent.
#[derive(Debug)]
pub(super) enum Param {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
}

impl Param {
    pub(super) fn all(vals: &[Val<'_>]) -> Vec<Self> {
        vals.iter()
            .map(|val| match *val {
                Val::Null => Self::Null,
                Val::Int(v) => Self::Int(v),
                Val::Bool(v) => Self::Bool(v),
                Val::Text(v) => Self::Text(storable(v).into_owned()),
                Val::Ints(v) => Self::Ints(v.to_vec()),
                Val::Texts(v) => {
                    let owned = |text: &Option<&str>| text.map(|t| storable(t).into_owned());
                    Self::Texts(v.iter().map(owned).collect())
                }
            })
            .collect()
    }
}

/// PostgreSQL's TEXT holds every character but NUL, which platforms do pass on; refusing it would
/// refuse the whole webhook again and again.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

impl ToSql for Param {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            // The type is what the server made of the placeholder's place.
            Self::Int(v) if *ty == Type::INT4 => i32::try_from(*v)?.to_sql(ty, out),
            Self::Int(v) if *ty == Type::INT8 => v.to_sql(ty, out),
            Self::Bool(v) if *ty == Type::BOOL => v.to_sql(ty, out),
            Self::Text(v) if matches!(*ty, Type::TEXT | Type::VARCHAR | Type::JSON) => {
                v.as_str().to_sql(&Type::TEXT, out)
            }
            Self::Ints(v) if *ty == Type::INT8_ARRAY => v.to_sql(ty, out),
            Self::Texts(v) if *ty == Type::TEXT_ARRAY => v.to_sql(ty, out),
            other => Err(format!("{other:?} where the statement has {ty}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The cells of a row, from the left.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let mut cells = Vec::with_capacity(row.len());
    for (i, column) in row.columns().iter().enumerate() {
        let ty = column.type_();
        let cell = if *ty == Type::INT8 {
            row.try_get::<_, Option<i64>>(i).map(|v| v.map(Cell::Int))
        } else if *ty == Type::INT4 {
            row.try_get::<_, Option<i32>>(i)
                .map(|v| v.map(|v| Cell::Int(i64::from(v))))
        } else if *ty == Type::BOOL {
            row.try_get::<_, Option<bool>>(i)
                .map(|v| v.map(|v| Cell::Int(i64::from(v))))
        } else if matches!(*ty, Type::TEXT | Type::VARCHAR | Type::NAME) {
            row.try_get::<_, Option<String>>(i)
                .map(|v| v.map(Cell::Text))
        } else {
            let name = column.name();
            return Err(StoreError::Corrupt(format!("column {name} is {ty}")));
        };
        let cell = cell.map_err(|e| StoreError::Corrupt(e.to_string()))?;
        cells.push(cell.unwrap_or(Cell::Null));
    }
    Ok(Row::new(cells))
}
