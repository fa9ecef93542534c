//! Text as a person wrote it: without HTML escapes and without X's shortened links.

use crate::twitter::wire::ShortUrl;

/// How every shortened link begins. Anything shorter is not replaced: it might stand anywhere.
const SHORTENED: &str = "https://t.co/";

/// The longest link that is put in the place of a shortened one.
const LINK_MAX: usize = 4096;

/// By how much a text may grow: a hostile one could name a long link a thousand times.
const GROWTH_MAX: usize = 32_000;

/// The text with its links in full and its escapes undone; `tail` is the shortened link that stands
/// for the attachment at the end.
pub fn clean(text: &str, urls: &[ShortUrl], tail: Option<&str>) -> String {
    let text = unescape(text);
    let text = match tail.filter(|tail| !tail.is_empty()) {
        Some(tail) => text
            .trim_end()
            .strip_suffix(tail)
            .map_or(text.as_str(), str::trim_end),
        None => text.as_str(),
    };
    let mut links: Vec<(&str, &str)> = urls
        .iter()
        .filter_map(|url| Some((url.url.as_str(), url.expanded_url.as_deref()?)))
        .filter(|(short, full)| {
            short.starts_with(SHORTENED) && short.len() > SHORTENED.len() && full.len() <= LINK_MAX
        })
        .collect();
    // The longest first: one shortened link may begin like another.
    links.sort_by_key(|(short, _)| std::cmp::Reverse(short.len()));
    links.dedup_by_key(|(short, _)| *short);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut grown = 0;
    while let Some(at) = rest.find(SHORTENED) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let found = links.iter().find(|(short, _)| from.starts_with(short));
        let found = found.filter(|(_, full)| grown + full.len() <= GROWTH_MAX);
        let length = match found {
            Some((short, full)) => {
                grown += full.len();
                out.push_str(full);
                short.len()
            }
            None => {
                out.push_str(SHORTENED);
                SHORTENED.len()
            }
        };
        rest = from.split_at(length).1;
    }
    out.push_str(rest);
    out
}

/// X escapes three characters and no others.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(short: &str, full: &str) -> ShortUrl {
        ShortUrl {
            url: short.into(),
            expanded_url: Some(full.into()),
        }
    }

    #[test]
    fn links_are_long_again_and_escapes_undone() {
        let urls = [
            url("https://t.co/ab", "https://one.example/?a=1&lt;=2"),
            url("https://t.co/abcd", "https://two.example/"),
            url("h", "https://no.example/"),
        ];
        let cases = [
            ("1 &lt; 2 &amp;&amp; 3 &gt; 2", None, "1 < 2 && 3 > 2"),
            ("&amp;lt;", None, "&lt;"),
            (
                "https://t.co/abcd, https://t.co/ab! https://t.co/zz",
                None,
                "https://two.example/, https://one.example/?a=1&lt;=2! https://t.co/zz",
            ),
            ("look https://t.co/pic", Some("https://t.co/pic"), "look"),
            ("https://t.co/pic", Some("https://t.co/pic"), ""),
            ("https://t.co/pic look", Some("https://t.co/pic"), "https://t.co/pic look"),
            ("oh", None, "oh"),
        ];
        for (text, tail, expected) in cases {
            assert_eq!(clean(text, &urls, tail), expected, "{text}");
        }
    }

    #[test]
    fn a_text_does_not_grow_without_end() {
        let urls = [url("https://t.co/a", &format!("https://x.example/{}", "y".repeat(4000)))];
        let text = "https://t.co/a ".repeat(5000);
        assert!(clean(&text, &urls, None).len() < text.len() + GROWTH_MAX);
    }
}
