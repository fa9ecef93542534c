//! The example in the repository cannot lie.

use super::*;

/// The example in the repository.
fn example() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/switchboard.toml");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_example_shows_the_defaults() {
    let text = example();
    let config = load_text(&text, &[]).unwrap();
    let defaults = Config {
        file: config.file.clone(),
        ..Config::default()
    };
    assert_eq!(format!("{config:#?}"), format!("{defaults:#?}"));

    // And all of them: every key that a section knows stands in the example.
    let table: toml::Table = toml::from_str(&text).unwrap();
    let sections = load::SECTIONS
        .iter()
        .filter(|s| !["webhooks", "channels"].contains(s));
    for section in sections {
        let error = load_text(&format!("[{section}]\nzz = 1"), &[]).unwrap_err();
        let (_, known) = error.split_once("allowed: ").unwrap();
        for key in known.split(", ") {
            let commented = format!("# {key} = ");
            let shown = table[*section].get(key).is_some();
            // What has no single default is shown behind a comment sign.
            let shown = shown || (key == "enabled" && text.contains(&commented));
            assert!(shown, "{section}.{key} is missing in the example");
        }
    }
}

#[test]
fn the_examples_of_channels_can_be_switched_on() {
    // Lines that are commented out begin with "#" directly; sentences with "# ".
    let text: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(code) if !code.starts_with(' ') => format!("{code}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let kinds: Vec<&str> = table["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["telegram", "whatsapp", "twilio-sms"]);
    assert_eq!(table["webhooks"].as_array().unwrap().len(), 1);

    // As far as the kinds are built in, they must take what the example tells people to write.
    let secrets = [
        ("HOOK_KEY", "whsec_c2VjcmV0"),
        (
            "TELEGRAM_BOT_TOKEN",
            "7000000001:AAH-example-of-35-characters-abcdef",
        ),
        ("TELEGRAM_WEBHOOK_SECRET", "example-secret"),
        ("WHATSAPP_ACCESS_TOKEN", "EAAexample"),
        ("WHATSAPP_APP_SECRET", "0123456789abcdef0123456789abcdef"),
        ("WHATSAPP_VERIFY_TOKEN", "example-verify"),
        ("TWILIO_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"),
    ];
    let file = Temporary::new(&text);
    let sources = Sources {
        file: Some(file.0.clone()),
        environment: environment(&secrets),
    };
    if kinds
        .iter()
        .all(|kind| switchboard_channels::kind(kind).is_some())
    {
        assert_eq!(
            load(&sources, switchboard_channels::KINDS)
                .unwrap()
                .channels
                .len(),
            3
        );
    } else {
        let error = load(&sources, switchboard_channels::KINDS).unwrap_err();
        assert!(error.key.ends_with(".kind"), "{error}");
    }
}
