//! What a request may hold. Generous for any honest caller; each bounds work that a caller could
//! otherwise make us do.

/// Names on the way to a value: `source[chat_id]` has 2. No function needs more than 3; the rest is
/// room for payloads.
pub const MAX_DEPTH: usize = 8;

/// Values in one request, however nested. PHP's own limit (`max_input_vars`), which the clients of
/// this API have always lived with.
pub const MAX_ARGUMENTS: usize = 1000;

/// Bytes of one name. Those of the functions are a tenth of it; those of user details are free.
pub const MAX_NAME_BYTES: usize = 256;

/// Bytes of one value. The longest text that any platform takes is a mail, and a mail of one
/// mebibyte of text is no message.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// Attachments of one message. Three albums of the platform with the largest ones (Telegram: 10).
pub const MAX_ATTACHMENTS: usize = 30;

/// Characters of an attachment's name: what file systems take.
pub const MAX_ATTACHMENT_NAME_CHARS: usize = 255;

/// Bytes of a link. Signed links of object stores come to about 2000; servers refuse beyond 8192.
pub const MAX_LINK_BYTES: usize = 8192;

/// Choices offered with one message. Far beyond what platforms show; `plan` cuts or refuses.
pub const MAX_QUICK_REPLIES: usize = 100;

/// Characters of a quick reply's title or payload: the longest payload that a platform takes
/// (Messenger: 1000).
pub const MAX_QUICK_REPLY_CHARS: usize = 1000;
