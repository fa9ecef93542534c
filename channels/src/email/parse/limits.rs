//! What is taken of a mail. Mail is written by strangers: every size in it is bounded here, and what
//! lies beyond a bound is left out, never an error that would stop the mailbox.

/// Bytes of a mail whose body is read; of a larger one the header block is. The mailbox loop has a
/// bound of its own (`imap_max_message_bytes`), which is the lower one by default.
pub const MAIL_BYTES: usize = 64 * 1024 * 1024;
/// Bytes that are searched for the blank line when only the header block is read.
pub const HEADER_BLOCK_BYTES: usize = 256 * 1024;
/// Header fields that are looked at.
pub const HEADERS: usize = 2_000;
/// Bytes of one header's value that are looked at.
pub const HEADER_BYTES: usize = 64 * 1024;
/// `Received` fields after which a mail is on its way in a circle (RFC 5321, 6.3: at least 100 for
/// servers; no honest mail comes near 50).
pub const RECEIVED: usize = 50;
/// Nested messages that are unfolded. The parser's results are freed level by level, on the stack; a
/// mail of thousands of levels would end the process.
pub const NESTED: usize = 200;
/// Parts of a mail that are looked at.
pub const PARTS: usize = 500;
/// Bytes of one text part that are read.
pub const TEXT_BYTES: usize = 1024 * 1024;
/// Bytes of HTML that are read.
pub const HTML_BYTES: usize = 2 * 1024 * 1024;
/// Characters of text that become a message. Longer letters are attachments by nature.
pub const SHOWN_CHARS: usize = 100_000;
/// Bytes of the uncut text that are kept beside the shown one.
pub const ORIGINAL_BYTES: usize = 100_000;
/// Attachments of one mail.
pub const ATTACHMENTS: usize = 50;
/// Bytes of one attachment that are handed out.
pub const ATTACHMENT_BYTES: usize = 25 * 1024 * 1024;
/// An embedded picture below this is a spacer, a logo of a social network or a tracking pixel.
pub const INLINE_IMAGE_BYTES: usize = 2 * 1024;
/// Characters of a file name.
pub const FILE_NAME_CHARS: usize = 120;
/// Characters of a subject (RFC 5322 gives a line 998).
pub const SUBJECT_CHARS: usize = 998;
/// Characters of a shown name.
pub const NAME_CHARS: usize = 100;
/// Others to whom a mail went who take part in its thread from then on.
pub const PEOPLE: usize = 50;
/// Ids of `References` that are looked at, the last ones.
pub const REFERENCES: usize = 100;
/// Bytes of a Message-ID. Longer ones are treated as none.
pub const ID_BYTES: usize = 500;
/// Bytes of the body that tell two mails under one id apart.
pub const HASHED_BYTES: usize = 4 * 1024;
/// Bytes of a returned mail that are searched for an id of ours.
pub const SEARCHED_BYTES: usize = 64 * 1024;
/// Recipients in one delivery report.
pub const REPORTED: usize = 100;
/// Lines that are searched for quoted history.
pub const LINES: usize = 1_000;

/// The first so many bytes, at a character's border.
pub fn head(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// The first so many characters.
pub fn chars(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
