//! Arguments as a multipart form: text fields only.

use super::form::Fields;
use super::{ApiError, quoted};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use serde_json::{Map, Value};

/// Reads a `multipart/form-data` body that was already collected.
pub(super) fn decode(content_type: &str, body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let broken =
        |e: &multer::Error| ApiError::invalid(format!("the body is not a multipart form: {e}"));
    let boundary = multer::parse_boundary(content_type).map_err(|e| broken(&e))?;
    // The whole body is one chunk that is there already, so nothing below ever waits.
    let chunk = Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(body));
    let mut form = multer::Multipart::new(stream::iter([chunk]), boundary);
    let mut fields = Fields::default();
    while let Some(field) = ready(form.next_field())?.map_err(|e| broken(&e))? {
        let name = field
            .name()
            .ok_or_else(|| ApiError::invalid("a field of the multipart form has no name"))?
            .to_owned();
        let file = field.file_name().map(str::to_owned);
        let bytes = ready(field.bytes())?.map_err(|e| broken(&e))?;
        if let Some(file) = file {
            // A browser sends an empty file for a file input that was left alone.
            if file.is_empty() && bytes.is_empty() {
                continue;
            }
            return Err(ApiError::invalid(format!(
                "`{name}`: found the file {}; expected text: attachments are links",
                quoted(&file)
            )));
        }
        let value = String::from_utf8(bytes.into())
            .map_err(|e| ApiError::invalid(format!("`{name}`: not UTF-8: {}", e.utf8_error())))?;
        fields.put(&name, value)?;
    }
    Ok(fields.finish())
}

/// The outcome of a future that has nothing to wait for.
fn ready<T>(future: impl Future<Output = T>) -> Result<T, ApiError> {
    future
        .now_or_never()
        .ok_or_else(|| ApiError::invalid("the body is not a multipart form: it ends too early"))
}
