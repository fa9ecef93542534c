//! Inbound files.

use super::*;

fn fetched(steps: Vec<Step>, link: &str) -> (Result<Media, SendError>, Vec<String>) {
    let fake = Fake::new(steps);
    let outcome = run(fetch_media(
        &account(json!({})),
        &MediaRef::new(link),
        &ctx(&fake, None),
    ));
    let asked = fake.asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .all(|request| matches!(request.auth, Auth::None))
    );
    assert!(
        asked
            .iter()
            .all(|request| !request.shown_url().contains("oe="))
    );
    let mut seen: Vec<String> = asked.iter().map(|request| request.url.clone()).collect();
    let guarded = fake.guarded.lock().unwrap();
    seen.extend(guarded.iter().map(|url| format!("guarded {url}")));
    (outcome, seen)
}

fn file(content: &str) -> Step {
    Ok(Response {
        body: content.to_owned().into(),
        ..Response::empty(200).with_header("content-type", "image/jpeg; x=y")
    })
}

fn moved(to: &str) -> Step {
    Ok(Response::empty(302).with_header("location", to))
}

const FILE: &str = "https://scontent.xx.fbcdn.net/v/a.jpg?oe=1";

#[test]
fn files_come_from_meta_without_the_token_and_from_others_through_the_guard() {
    for link in [
        FILE,
        "https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=1",
        "https://scontent.cdninstagram.com/v/a.jpg",
        "https://graph.example:8443/root/cdn/1/a.jpg",
    ] {
        let (media, seen) = fetched(vec![file("bytes")], link);
        let media = media.unwrap();
        assert_eq!(
            (&media.bytes[..], media.mime.as_deref()),
            (&b"bytes"[..], Some("image/jpeg"))
        );
        assert_eq!(seen, [link]);
    }
    for link in [
        "https://fbcdn.net.evil.example/a.jpg",
        "https://evilfbcdn.net/a.jpg",
        "https://scontent.fbcdn.net:444/a.jpg",
        "http://scontent.fbcdn.net/a.jpg",
        "https://graph.example:8443/rootless/a.jpg",
        "http://10.0.0.1/a.jpg",
    ] {
        let (media, seen) = fetched(Vec::new(), link);
        assert_eq!(&media.unwrap().bytes[..], b"guarded");
        assert_eq!(seen, [format!("guarded {link}")]);
    }
    let (_, seen) = fetched(vec![moved("//evil.example/x")], FILE);
    assert_eq!(seen[1], "guarded https://evil.example/x");
    let (media, seen) = fetched(vec![moved("/v/b.jpg"), file("bytes")], FILE);
    assert_eq!(media.unwrap().bytes.len(), 5);
    assert_eq!(seen[1], "https://scontent.xx.fbcdn.net/v/b.jpg");
}

#[test]
fn files_that_cannot_be_had_say_why() {
    let status = |status| vec![Ok(Response::empty(status))];
    let cases = [
        (status(403), FILE, Class::Content),
        (status(404), FILE, Class::Content),
        (status(401), FILE, Class::Content),
        (status(500), FILE, Class::Retry),
        (status(200), FILE, Class::Retry),
        (
            vec![Err(TransportError::NoAnswer("reset".into()))],
            FILE,
            Class::Retry,
        ),
        (vec![file("eleven byte")], FILE, Class::Content),
        (vec![moved("ftp://x")], FILE, Class::Content),
        (status(302), FILE, Class::Content),
        ((0..4).map(|_| moved(FILE)).collect(), FILE, Class::Content),
        (Vec::new(), "/reel/123", Class::Content),
        (Vec::new(), "file:///etc/passwd", Class::Content),
    ];
    for (i, (steps, link, class)) in cases.into_iter().enumerate() {
        let (outcome, _) = fetched(steps, link);
        assert_eq!(outcome.unwrap_err().class, class, "case {i}");
    }
}
