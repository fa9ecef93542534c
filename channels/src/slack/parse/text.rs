//! Slack's text into plain text: its tokens in angle brackets, its three escapes, and, where a message
//! has no text but blocks, the words in them.

use serde_json::Value;

/// How deep blocks are read. Slack's own nest five deep.
const BLOCKS_DEPTH: usize = 12;

/// Text as a person reads it.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('<') {
        out.push_str(&unescaped(before));
        match tail.split_once('>') {
            Some((token, after)) if !token.contains('<') && !token.is_empty() => {
                out.push_str(&unescaped(&token_text(token)));
                rest = after;
            }
            _ => {
                out.push('<');
                rest = tail;
            }
        }
    }
    out.push_str(&unescaped(rest));
    out
}

/// What stands in angle brackets, as a person reads it.
fn token_text(token: &str) -> String {
    let (target, label) = match token.split_once('|') {
        Some((target, label)) => (target, Some(label).filter(|label| !label.is_empty())),
        None => (token, None),
    };
    let named = |mark: &str, id: &str| {
        let name = label.unwrap_or(id);
        format!("{mark}{}", name.trim_start_matches(mark))
    };
    if let Some(user) = target.strip_prefix('@') {
        return named("@", user);
    }
    if let Some(channel) = target.strip_prefix('#') {
        return named("#", channel);
    }
    if let Some(special) = target.strip_prefix('!') {
        if special.starts_with("date^") {
            return label.unwrap_or_default().to_owned();
        }
        let group = special.strip_prefix("subteam^").unwrap_or(special);
        return named("@", group);
    }
    let link = target.strip_prefix("mailto:").or(target.strip_prefix("tel:"));
    let shown = link.unwrap_or(target);
    match label {
        Some(label) if label != shown && label != target => format!("{label} ({shown})"),
        _ => shown.to_owned(),
    }
}

/// Undoes the three escapes, each once.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('&') {
        out.push_str(before);
        let known = [("lt;", '<'), ("gt;", '>'), ("amp;", '&')];
        let found = known.iter().find_map(|(name, c)| Some((tail.strip_prefix(name)?, *c)));
        match found {
            Some((after, c)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push('&');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Escapes what Slack would read as a mark of its own. Disarms `<!channel>` as well.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// The words of a message that consists of blocks.
pub fn of_blocks(blocks: &[Value]) -> String {
    let mut words = Vec::new();
    for block in blocks {
        let mut line = String::new();
        collect(block, BLOCKS_DEPTH, &mut line);
        if !line.trim().is_empty() {
            words.push(line);
        }
    }
    words.join("\n")
}

fn collect(value: &Value, depth: usize, out: &mut String) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, depth, out)),
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            match text("type") {
                Some("emoji") => {
                    if let Some(name) = text("name") {
                        out.push_str(&super::emoji::shown(name));
                    }
                    return;
                }
                Some("user") => {
                    if let Some(id) = text("user_id") {
                        out.push('@');
                        out.push_str(id);
                    }
                    return;
                }
                Some("link") => {
                    let url = text("url").unwrap_or_default();
                    match text("text") {
                        Some(label) if label != url => out.push_str(&format!("{label} ({url})")),
                        _ => out.push_str(url),
                    }
                    return;
                }
                Some("mrkdwn") => {
                    out.push_str(&plain(text("text").unwrap_or_default()));
                    return;
                }
                _ => {}
            }
            match fields.get("text") {
                Some(Value::String(text)) => out.push_str(text),
                Some(inner) => collect(inner, depth, out),
                None => {}
            }
            for name in ["elements", "fields"] {
                if let Some(inner) = fields.get(name) {
                    collect(inner, depth, out);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_become_words() {
        let cases = [
            ("See the price list &amp; call <@U0AGENT002>", "See the price list & call @U0AGENT002"),
            ("<@U1|dana> in <#C1|general> and <#C2>", "@dana in #general and #C2"),
            ("<!here> <!channel> <!everyone>", "@here @channel @everyone"),
            ("<!subteam^S1|@grp> <!subteam^S2>", "@grp @S2"),
            ("<!date^1392734382^{date}|18 Feb 2014>", "18 Feb 2014"),
            ("<https://x.example/a?b=1&amp;c=2|the list>", "the list (https://x.example/a?b=1&c=2)"),
            ("<https://x.example|https://x.example> <https://y.example>", "https://x.example https://y.example"),
            ("<mailto:a@b.example|a@b.example>", "a@b.example"),
            ("<tel:+4670|+4670>", "+4670"),
            ("1 &lt; 2 &gt; 0 &amp;lt; &copy;", "1 < 2 > 0 &lt; &copy;"),
            ("a < b", "a < b"),
            ("<>", "<>"),
            ("<a <https://x.example>", "<a https://x.example"),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), expected, "{text}");
        }
        for text in ["<!channel> & <b>", "&amp;", "a < b > c"] {
            assert_eq!(plain(&escaped(text)), text);
            assert!(!escaped(text).contains('<'));
        }
    }

    #[test]
    fn blocks_are_read_where_there_is_no_text() {
        let blocks = json!([
            {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [
                {"type": "text", "text": "Hello "},
                {"type": "user", "user_id": "U1"},
                {"type": "emoji", "name": "wave"},
                {"type": "link", "url": "https://x.example", "text": "here"},
            ]}]},
            {"type": "section", "text": {"type": "mrkdwn", "text": "*bold* &amp; more"}},
            {"type": "divider"},
        ]);
        let words = of_blocks(blocks.as_array().unwrap());
        assert_eq!(words, "Hello @U1👋here (https://x.example)\n*bold* & more");
        let mut deep = json!({"type": "text", "text": "x"});
        for _ in 0..100 {
            deep = json!({"elements": [deep]});
        }
        assert_eq!(of_blocks(&[deep]), "");
    }
}
