//! Cutting quoted history and signatures off the text that is shown. The whole text is kept beside it:
//! a wrong cut costs a look, not a word.

use super::limits;
use super::markers::{self, Label};

/// Lines that an attribution may be wrapped over.
const WRAPPED: usize = 4;
/// Lines of a header block that are looked at.
const BLOCK: usize = 8;
/// A `--` line without its space begins a signature only where so few lines follow.
const SIGNATURE_LINES: usize = 12;

/// A text without its history.
#[derive(Debug, PartialEq, Eq)]
pub struct Stripped {
    /// What the person wrote.
    pub text: String,
    /// Whether something was cut.
    pub cut: bool,
}

/// Whether a text begins with a forwarded mail.
pub fn forwarded(text: &str) -> bool {
    text.lines().map(str::trim).any(markers::is_forward)
}

/// Cuts history and signature off a text. What would leave nothing is not cut.
pub fn strip(text: &str) -> Stripped {
    let clean = clean(text);
    let lines: Vec<&str> = clean.lines().collect();
    let shown = signed_off(unquoted(&lines));
    let kept = shown.join("\n").trim().to_owned();
    let whole = clean.trim();
    if kept.is_empty() || kept == whole {
        return Stripped {
            text: whole.to_owned(),
            cut: false,
        };
    }
    Stripped {
        text: kept,
        cut: true,
    }
}

/// One kind of line end and space, nothing invisible.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push('\n');
            }
            '\u{a0}' | '\u{202f}' => out.push(' '),
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' | '\0' => {}
            '\t' | '\n' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

fn is_quote(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// What a marker says about the lines from it on.
enum Found {
    /// Everything from here on is history.
    Cut,
    /// A quote begins, after so many lines of attribution.
    Quote(usize),
    /// What follows is content, whatever it looks like.
    Content,
}

/// The lines without quoted history.
fn unquoted<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    for (i, _) in lines.iter().enumerate().take(limits::LINES) {
        let rest = lines.get(i..).unwrap_or_default();
        let head = lines.get(..i).unwrap_or_default();
        match marker(rest) {
            None => {}
            Some(Found::Content) => return lines.to_vec(),
            Some(Found::Cut) => return head.to_vec(),
            Some(Found::Quote(attribution)) => {
                let below = rest.get(attribution..).unwrap_or_default();
                return around(head, rest, below);
            }
        }
    }
    lines.to_vec()
}

/// What is left where a quote begins: what stands above it, or, when the answer stands below or in
/// between, that.
fn around<'a>(head: &[&'a str], rest: &[&'a str], below: &[&'a str]) -> Vec<&'a str> {
    let written = |lines: &[&str]| lines.iter().any(|l| !is_blank(l) && !is_quote(l));
    let after_block = below.iter().position(|l| !is_blank(l) && !is_quote(l));
    let Some(after) = after_block else {
        return head.to_vec();
    };
    if !below.iter().any(|l| is_quote(l)) {
        // An attribution over text that is not marked line by line.
        return head.to_vec();
    }
    let answer = below.get(after..).unwrap_or_default();
    if answer.first().is_some_and(|l| *l == "-- " || l.trim_end() == "--") {
        // A signature below the quote, and no answer there.
        return head.to_vec();
    }
    if !written(head) && !answer.iter().any(|l| is_quote(l)) {
        // The answer stands below the one quote.
        return unquoted_tail(answer);
    }
    // Answers between the lines of the quote make no sense without them; what is quoted at the end,
    // with nothing after it, does.
    let mut all = head.to_vec();
    all.extend(rest);
    while all.last().is_some_and(|l| is_blank(l) || is_quote(l)) {
        all.pop();
    }
    all
}

/// What stands below a quote may end with one of another kind.
fn unquoted_tail<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    for (i, _) in lines.iter().enumerate().take(limits::LINES) {
        let rest = lines.get(i..).unwrap_or_default();
        if matches!(marker(rest), Some(Found::Cut | Found::Quote(_))) {
            return lines.get(..i).unwrap_or_default().to_vec();
        }
    }
    lines.to_vec()
}

/// The marker that the first of these lines begins.
fn marker(rest: &[&str]) -> Option<Found> {
    let first = rest.first()?;
    if is_blank(first) {
        return None;
    }
    if markers::is_forward(first) {
        return Some(Found::Content);
    }
    if is_quote(first) {
        // Apple Mail quotes what it forwards.
        if markers::is_forward(first.trim_start_matches(['>', ' '])) {
            return Some(Found::Content);
        }
        // One quoted line in the middle of a text is the writer's own way of speaking.
        let run = rest.iter().take_while(|l| is_quote(l)).count();
        let last = rest.get(run..).unwrap_or_default().iter().all(|l| is_blank(l));
        return (run >= 2 || last).then_some(Found::Quote(0));
    }
    if markers::is_rule(first) {
        // A rule of underscores alone may be an ornament: what follows must be a header block.
        let ornament = first.trim_start().starts_with('_');
        let next = rest.get(1..).unwrap_or_default();
        return (!ornament || block(next)).then_some(Found::Cut);
    }
    if block(rest) {
        return Some(Found::Cut);
    }
    let mut joined = String::new();
    for (n, line) in rest.iter().take(WRAPPED).enumerate() {
        if is_blank(line) || (n > 0 && is_quote(line)) {
            break;
        }
        if n > 0 {
            joined.push(' ');
        }
        joined.push_str(line.trim());
        if markers::is_attribution(&joined) {
            return Some(Found::Quote(n + 1));
        }
    }
    None
}

/// Whether a header block begins here: who wrote, and at least one more line of the kind.
fn block(rest: &[&str]) -> bool {
    let lines: Vec<&&str> = rest.iter().skip_while(|l| is_blank(l)).take(BLOCK).collect();
    let mut labels = lines.iter().map_while(|l| markers::label(l));
    match labels.next() {
        Some(Label::From) => labels.next().is_some(),
        // Some programs begin with the date or the subject.
        Some(Label::Other) => {
            let labels: Vec<Label> = labels.collect();
            labels.len() >= 2 && labels.contains(&Label::From)
        }
        None => false,
    }
}

/// The lines without a signature.
fn signed_off(mut lines: Vec<&str>) -> Vec<&str> {
    let trim = |lines: &mut Vec<&str>| {
        while lines.last().is_some_and(|l| is_blank(l)) {
            lines.pop();
        }
    };
    trim(&mut lines);
    let count = lines.len();
    let begins = |(i, line): (usize, &&str)| {
        let exact = *line == "-- ";
        let short = matches!(line.trim_end(), "--" | "__") && count - i <= SIGNATURE_LINES;
        (exact || short) && i > 0
    };
    let quoted_below = |i: usize| lines.get(i..).unwrap_or_default().iter().any(|l| is_quote(l));
    let at = lines.iter().enumerate().position(begins).filter(|i| !quoted_below(*i));
    if let Some(at) = at {
        lines.truncate(at);
        trim(&mut lines);
    }
    while lines.len() > 1 && lines.last().is_some_and(|l| markers::is_device(l)) {
        lines.pop();
        trim(&mut lines);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        strip(text).text
    }

    #[test]
    fn history_below_is_cut() {
        for (text, expected) in [
            ("Thanks!\r\n\r\nOn Fri, 20 Nov 2026 at 10:00, S <s@x.se> wrote:\r\n> Hi\r\n> there\r\n", "Thanks!"),
            ("Tack!\n\nDen fre 20 nov. 2026 kl 10:00 skrev Support <support@example.net>:\n> Hej", "Tack!"),
            ("Ok\n\nOn Fri, 20 Nov 2026 at 10:00,\nSupport\n<support@example.net> wrote:\n\n> Hi\n", "Ok"),
            ("Ok\n\n-----Original Message-----\nFrom: S\nSent: x\n\nHi", "Ok"),
            ("Ok\n\n________________________________\nFrom: S <s@x.se>\nSent: Friday\nTo: A\nSubject: x\n\nHi", "Ok"),
            ("Ok\n\n*Von:* S\n*Gesendet:* Freitag\n*An:* A\n\nHallo", "Ok"),
            ("Ok\n\n> one\n> two\n", "Ok"),
            ("Ok\n\n> one\n", "Ok"),
            ("--- Reply above this line ---\nold", "--- Reply above this line ---\nold"),
            ("new\n--- Reply above this line ---\nold", "new"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn answers_below_and_between_stay() {
        let below = "On 20/11/2026 10:00, S wrote:\n> Do you want it?\n> S\n\nYes, please.\n";
        assert_eq!(shown(below), "Yes, please.");
        let between = "On 20/11/2026 10:00, S wrote:\n> Red?\nYes.\n> Large?\nNo.\n> Bye\n";
        assert_eq!(shown(between), "On 20/11/2026 10:00, S wrote:\n> Red?\nYes.\n> Large?\nNo.");
        let quoting = "You wrote\n> red\nand I meant blue.";
        assert_eq!(shown(quoting), quoting);
    }

    #[test]
    fn forwarded_mail_is_content() {
        for text in [
            "See below\n\n---------- Forwarded message ---------\nFrom: S\nDate: x\nSubject: y\n\nHi\n\nOn 20 Nov 2026 S wrote:\n> z",
            "Begin forwarded message:\n\nFrom: S\nSubject: y\nDate: x\n\nHi",
        ] {
            assert_eq!(shown(text), text.trim());
        }
    }

    #[test]
    fn signatures_go_and_greetings_stay() {
        for (text, expected) in [
            ("Hi\n\nBest regards\nAnna\n\n-- \nAnna Berg\nExample AB", "Hi\n\nBest regards\nAnna"),
            ("Hi\n--\nAnna", "Hi"),
            ("Hi\n\nSent from my iPhone", "Hi"),
            ("Hi\n\nSkickat från min iPhone\n", "Hi"),
            ("- one\n- two", "- one\n- two"),
            ("-- \nonly a signature", "-- \nonly a signature"),
            ("Sent from my iPhone", "Sent from my iPhone"),
            ("Hi\n\nGet Outlook for iOS\n________________________________\nFrom: S\nSent: x\n\nold", "Hi"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_cut_to_nothing() {
        let text = "> all\n> quoted";
        assert_eq!(strip(text), Stripped { text: text.to_owned(), cut: false });
        assert_eq!(strip(""), Stripped { text: String::new(), cut: false });
    }

    #[test]
    fn text_of_strangers_is_read_in_time() {
        let long = format!("{}\n", "On 1 ".repeat(100_000)).repeat(20);
        drop(strip(&long));
        drop(strip(&"> \n".repeat(300_000)));
        drop(strip(&"From: a\n\n".repeat(100_000)));
        drop(strip(&"a\u{a0}\0".repeat(300_000)));
    }
}
