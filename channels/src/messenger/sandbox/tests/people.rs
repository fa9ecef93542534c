//! What people do, and what of it reaches us.

use super::*;

#[test]
fn people_do_what_both_platforms_let_them() {
    let mut sandbox = sandbox();
    let replies = json!({"text": "Confirm?", "quick_replies":
        [{"content_type": "text", "title": "Yes", "payload": "OPT_YES"}]});
    let (sent, _) = post(&mut sandbox, &message(replies), NOW);
    let ours = sent["message_id"].as_str().unwrap().to_owned();

    let said = act(
        &mut sandbox,
        json!({"do": "say", "text": "what?", "reply_to": ours}),
    )
    .unwrap();
    assert_eq!(said[0]["message"]["reply_to"]["mid"], json!(ours));
    let theirs = said[0]["message"]["mid"].as_str().unwrap().to_owned();
    let pressed = act(&mut sandbox, json!({"do": "press", "button": "Yes"})).unwrap();
    assert_eq!(pressed[0]["message"]["quick_reply"]["payload"], "OPT_YES");
    assert!(act(&mut sandbox, json!({"do": "press", "button": "No"})).is_err());

    let card = json!({"attachment": {"type": "template", "payload": {"template_type": "button", "text": "Go",
        "buttons": [{"type": "postback", "title": "Start", "payload": "GO"},
                    {"type": "web_url", "title": "Site", "url": "https://shop.example/"}]}}});
    post(&mut sandbox, &message(card), NOW);
    let pressed = act(&mut sandbox, json!({"do": "press", "button": "GO"})).unwrap();
    assert_eq!(pressed[0]["postback"]["title"], "Start");
    assert!(
        act(&mut sandbox, json!({"do": "press", "button": "Site"}))
            .unwrap_err()
            .contains("link")
    );

    let read = act(&mut sandbox, json!({"do": "read"})).unwrap();
    assert_eq!(read[0]["read"], json!({"watermark": NOW.0}));
    let reacted = act(
        &mut sandbox,
        json!({"do": "react", "message": ours, "emoji": "🔥"}),
    )
    .unwrap();
    assert_eq!(reacted[0]["reaction"]["emoji"], "🔥");
    assert!(
        act(
            &mut sandbox,
            json!({"do": "react", "message": ours, "emoji": "🔥"})
        )
        .is_err()
    );
    let undone = act(
        &mut sandbox,
        json!({"do": "react", "message": ours, "emoji": ""}),
    )
    .unwrap();
    assert_eq!(undone[0]["reaction"]["action"], "unreact");

    for number in 1..=5 {
        let edit = json!({"do": "edit", "message": theirs, "text": format!("change {number}")});
        assert_eq!(
            act(&mut sandbox, edit).unwrap()[0]["message_edit"]["num_edit"],
            number
        );
    }
    assert!(
        act(
            &mut sandbox,
            json!({"do": "edit", "message": theirs, "text": "x"})
        )
        .is_err()
    );
    assert!(
        act(
            &mut sandbox,
            json!({"do": "edit", "message": ours, "text": "x"})
        )
        .is_err()
    );

    assert!(
        act(&mut sandbox, json!({"do": "block"}))
            .unwrap()
            .is_empty()
    );
    let (answer, _) = post(&mut sandbox, &text_to(DANA, "x"), NOW);
    assert_eq!(code(&answer), (551, 1_545_041));
    assert!(act(&mut sandbox, json!({"do": "say", "text": "x"})).is_err());
    assert!(act(&mut sandbox, json!({"do": "block"})).is_err());
    act(&mut sandbox, json!({"do": "unblock"})).unwrap();
    for from in ["bo", "104200000000001", "ig:17841400000000001", "+46"] {
        let said = act(
            &mut sandbox,
            json!({"do": "say", "from": from, "text": "x"}),
        );
        assert!(said.is_err(), "{from}");
    }
}

#[test]
fn people_on_instagram_have_their_own_ways() {
    let mut sandbox = sandbox();
    let bo = "ig:9900000000000021";
    let (sent, _) = post(&mut sandbox, &text_to(BO, "hola"), NOW);
    let read = act(&mut sandbox, json!({"do": "read", "from": bo})).unwrap();
    assert_eq!(read[0]["read"]["mid"], sent["message_id"]);
    let place = json!({"latitude": 1.0, "longitude": 2.0});
    assert!(
        act(
            &mut sandbox,
            json!({"do": "say", "from": bo, "location": place})
        )
        .is_err()
    );
    let zip = json!({"name": "a.zip", "mime": "application/zip"});
    assert!(
        act(
            &mut sandbox,
            json!({"do": "say", "from": bo, "attachment": zip})
        )
        .is_err()
    );
    let heart = json!({"recipient": {"id": BO}, "message": {"attachment": {"type": "like_heart"}}});
    assert_eq!(code(&post(&mut sandbox, &heart, NOW).0), (0, 0));
    let file = json!({"type": "file", "payload": {"url": "https://files.example.net/a.zip"}});
    let file = json!({"recipient": {"id": BO}, "message": {"attachment": file}});
    assert_eq!(code(&post(&mut sandbox, &file, NOW).0), (100, 2_018_047));
    let mut without = sandbox_with(json!({"instagram_id": "5"}));
    without.account.settings.instagram_id = None;
    without.reset();
    assert!(act(&mut without, json!({"do": "say", "from": bo, "text": "x"})).is_err());
    let (answer, _) = post(&mut without, &text_to(BO, "x"), NOW);
    assert_eq!(code(&answer), (100, 2_018_001));
}
