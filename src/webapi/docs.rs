//! The documentation page: one HTML file without scripts, and without anything from elsewhere, so
//! that it shows the same behind a firewall. Written from the same tables as the OpenAPI document.

use super::args::limits;
use super::error::Code;
use super::names::{Argument, COMMON_ERRORS, FUNCTIONS, Function};
use super::openapi::{Auth, PATHS};
use super::shapes::events::EventName;
use super::shapes::sample;
use serde_json::{Value, json};
use std::fmt::Write as _;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:70rem;padding:1rem 1.5rem 4rem;font:16px/1.5 system-ui,sans-serif}\
code,pre{font:14px/1.45 ui-monospace,monospace}\
pre{background:var(--soft);padding:.75rem 1rem;overflow-x:auto;border-radius:.4rem}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}\
th,td{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top}\
h2{margin-top:3rem;border-bottom:2px solid var(--line)}\
h3{margin-top:2.2rem}\
nav ul{columns:16rem;padding-left:1.2rem}\
summary{cursor:pointer}\
.need{font-weight:600}";

/// The page, for a gateway that callers reach at this address.
pub fn page(public_url: &str) -> String {
    let url = escape(public_url.trim_end_matches('/'));
    let mut html = String::new();
    html.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
    html.push_str("<title>Switchboard: the Web API</title>\n<style>");
    html.push_str(STYLE);
    html.push_str("</style>\n</head>\n<body>\n<h1>Switchboard: the Web API</h1>\n");
    html.push_str(&calling(&url));
    html.push_str("<nav><h2 id=\"functions\">Functions</h2>\n<ul>\n");
    for function in FUNCTIONS {
        push(
            &mut html,
            format_args!("<li><a href=\"#{0}\">{0}</a></li>\n", escape(function.name)),
        );
    }
    html.push_str("</ul></nav>\n");
    for function in FUNCTIONS {
        html.push_str(&function_section(&url, function));
    }
    html.push_str(&errors());
    html.push_str(&events());
    html.push_str(&paths());
    html.push_str("</body>\n</html>\n");
    html
}

/// Writing into a `String` cannot fail.
fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).unwrap_or_default();
}

/// Text as HTML, inside elements and quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Text whose words in back quotes are code.
fn prose(text: &str) -> String {
    text.split('`')
        .enumerate()
        .map(|(i, piece)| match (i % 2, escape(piece)) {
            (0, plain) => plain,
            (_, code) => format!("<code>{code}</code>"),
        })
        .collect()
}

fn pretty(value: &Value) -> String {
    escape(&format!("{value:#}"))
}

fn calling(url: &str) -> String {
    format!(
        "<p>Every function is a call to <code>POST {url}/api</code> with <code>token</code>, <code>function</code> and the function's own arguments: as a form (PHP's nested names included), as a multipart form, or as JSON. <code>Authorization: Bearer</code> works in place of <code>token</code>. The same, for programs: <a href=\"/openapi.json\">openapi.json</a>.</p>\n\
         <pre>curl {url}/api \\\n  -d token=TOKEN -d function=whatsapp-send-message \\\n  --data-urlencode to=+15550100 --data-urlencode 'message=Hello!'</pre>\n\
         <p>Every answer is <code>{{\"success\": true, \"response\": …}}</code> or <code>{{\"success\": false, \"response\": \"error-code\", \"message\": \"…\"}}</code>. Sends add <code>message_id</code>, <code>conversation_id</code> and <code>status</code>: 200 when every part is sent, 202 with status <code>queued</code> when the message is kept and will be sent, 422 or 502 when it failed for good.</p>\n\
         <p>Ids are numbers or text; booleans <code>true</code>, <code>false</code>, <code>1</code>, <code>0</code>; lists and objects real or as JSON text; times <code>YYYY-MM-DD HH:MM:SS</code> in UTC. An optional argument that is <code>false</code>, <code>null</code> or empty is absent. A request holds at most {} values, {} levels deep, of {} bytes each.</p>\n",
        limits::MAX_ARGUMENTS,
        limits::MAX_DEPTH,
        limits::MAX_VALUE_BYTES
    )
}

fn function_section(url: &str, function: &Function) -> String {
    let name = escape(function.name);
    let mut html = format!(
        "<section>\n<h3 id=\"{name}\">{name}</h3>\n<p>{}</p>\n",
        prose(function.summary)
    );
    html.push_str(&arguments("Arguments", function.own.iter()));
    if function.sends() {
        html.push_str("<details><summary>What every send takes</summary>\n");
        html.push_str(&arguments(
            "Arguments",
            function.shared.iter().copied().flatten(),
        ));
        html.push_str("</details>\n");
    }
    push(
        &mut html,
        format_args!(
            "<p>Response: {}.</p>\n",
            prose(function.response.describe())
        ),
    );
    if let Some(response) = sample::responses(function.response).first() {
        let mut answer = json!({"success": true, "response": response});
        if let (true, Some(envelope)) = (function.sends(), answer.as_object_mut()) {
            envelope.insert("message_id".into(), json!("9"));
            envelope.insert("conversation_id".into(), json!("4"));
            envelope.insert("status".into(), json!("sent"));
        }
        push(
            &mut html,
            format_args!(
                "<details><summary>Example</summary>\n<pre>POST {url}/api\n\n{}</pre>\n</details>\n",
                pretty(&answer)
            ),
        );
    }
    if !function.errors.is_empty() {
        let codes: Vec<String> = function.errors.iter().map(|c| code_link(*c)).collect();
        push(
            &mut html,
            format_args!("<p>Errors of its own: {}.</p>\n", codes.join(", ")),
        );
    }
    html.push_str("</section>\n");
    html
}

fn arguments<'a>(title: &str, arguments: impl Iterator<Item = &'a Argument>) -> String {
    let rows: String = arguments
        .map(|a| {
            let need = if a.required {
                "<span class=\"need\">needed</span>"
            } else {
                ""
            };
            format!(
                "<tr><td><code>{}</code></td><td>{}</td><td>{need}</td><td>{}</td></tr>\n",
                escape(a.name),
                escape(&a.kind.describe()),
                prose(a.doc)
            )
        })
        .collect();
    if rows.is_empty() {
        return "<p>No arguments.</p>\n".to_owned();
    }
    format!(
        "<table>\n<tr><th>{title}</th><th>Content</th><th></th><th></th></tr>\n{rows}</table>\n"
    )
}

fn code_link(code: Code) -> String {
    format!(
        "<a href=\"#error-{0}\"><code>{0}</code></a>",
        escape(code.name())
    )
}

fn errors() -> String {
    let common: Vec<String> = COMMON_ERRORS.iter().map(|c| code_link(*c)).collect();
    let mut html = format!(
        "<h2 id=\"errors\">Errors</h2>\n<p>Every function can answer {}.</p>\n<table>\n<tr><th>HTTP</th><th>Code</th><th>Meaning</th></tr>\n",
        common.join(", ")
    );
    for code in Code::ALL {
        push(
            &mut html,
            format_args!(
                "<tr id=\"error-{0}\"><td>{1}</td><td><code>{0}</code></td><td>{2}</td></tr>\n",
                escape(code.name()),
                code.http_status(),
                prose(code.meaning())
            ),
        );
    }
    html.push_str("</table>\n");
    html
}

fn events() -> String {
    let mut html = String::from(
        "<h2 id=\"events\">Events</h2>\n<p>The gateway posts them as JSON to each receiver of its configuration, signed as Standard Webhooks has it. Delivery is at least once: <code>webhook-id</code> tells repetitions.</p>\n",
    );
    for event in EventName::ALL {
        let body = json!({
            "function": event.name(),
            "key": "xxxxxxxx",
            "sender-url": "https://switchboard.example.com",
            "data": sample::event(*event),
        });
        push(
            &mut html,
            format_args!(
                "<h3 id=\"event-{0}\">{0}</h3>\n<p>{1}</p>\n<details><summary>Example</summary>\n<pre>{2}</pre>\n</details>\n",
                escape(event.name()),
                prose(event.meaning()),
                pretty(&body)
            ),
        );
    }
    html
}

fn paths() -> String {
    let mut html = String::from(
        "<h2 id=\"paths\">Other paths</h2>\n<table>\n<tr><th>Path</th><th>For</th><th>Who</th></tr>\n",
    );
    for path in PATHS {
        let who = match path.auth {
            Auth::Open => "anyone",
            Auth::Signature => "the platform, by its signature",
            Auth::Link => "whoever has the link",
            Auth::Token => "holders of an API token",
        };
        push(
            &mut html,
            format_args!(
                "<tr><td><code>{} {}</code></td><td>{}</td><td>{who}</td></tr>\n",
                path.method.to_ascii_uppercase(),
                escape(path.path),
                prose(path.summary)
            ),
        );
    }
    html.push_str("</table>\n");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_the_tables_is_on_the_page() {
        let page = page("https://switchboard.example.com");
        for function in FUNCTIONS {
            assert!(page.contains(&format!("<h3 id=\"{0}\">{0}</h3>", function.name)));
            assert!(page.contains(&prose(function.summary)), "{}", function.name);
            for argument in function.arguments() {
                assert!(page.contains(&format!("<td><code>{}</code></td>", argument.name)));
                assert!(page.contains(&prose(argument.doc)), "{}", argument.doc);
            }
        }
        for code in Code::ALL {
            assert!(page.contains(&format!("<tr id=\"error-{}\">", code.name())));
        }
        for event in EventName::ALL {
            assert!(page.contains(&format!("<h3 id=\"event-{}\">", event.name())));
        }
    }

    #[test]
    fn nothing_is_loaded_from_anywhere_and_nothing_runs() {
        let page = page("https://switchboard.example.com");
        for word in [
            "<script",
            "<link",
            "<img",
            "<iframe",
            "@import",
            "url(",
            " src=",
            "javascript:",
        ] {
            assert!(!page.contains(word), "{word}");
        }
        let targets: Vec<&str> = page
            .split("href=\"")
            .skip(1)
            .map(|s| s.split('"').next().unwrap())
            .collect();
        assert!(targets.len() > 50);
        for target in targets {
            match target.strip_prefix('#') {
                Some(id) => assert!(page.contains(&format!("id=\"{id}\"")), "{target}"),
                None => assert_eq!(target, "/openapi.json"),
            }
        }
    }

    #[test]
    fn what_could_be_markup_is_escaped() {
        let page = page("https://x.example/\"><script>alert(1)</script>");
        assert!(!page.contains("<script"));
        assert_eq!(
            escape("<a href='x'>&\""),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
        );
        assert_eq!(prose("see `a<b` now"), "see <code>a&lt;b</code> now");
    }

    #[test]
    fn elements_are_closed() {
        let page = page("https://switchboard.example.com");
        for element in [
            "section", "table", "details", "summary", "pre", "code", "p", "h2", "h3", "nav", "ul",
            "li", "tr", "td", "th",
        ] {
            let opened = page.matches(&format!("<{element}>")).count()
                + page.matches(&format!("<{element} ")).count();
            let closed = page.matches(&format!("</{element}>")).count();
            assert_eq!(opened, closed, "{element}");
        }
    }
}
