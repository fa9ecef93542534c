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

/// The configuration that docker-compose.yml gives to every process.
#[test]
fn the_configuration_of_the_compose_file_loads_in_every_role() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("config/compose.toml")).unwrap();
    let secrets = [
        ("PUBLIC_URL", "https://gateway.example.com"),
        (
            "API_TOKEN",
            "sha256:9db74f57c5d822b8427df0b5a057d1eaf3462a7f6b765c679251f38bda845442",
        ),
        ("STORE_URL", "postgres://switchboard:x@postgres/switchboard"),
        ("QUEUE_URL", "redis://redis:6379/0"),
        ("BACKEND_URL", "https://chat.example.com/hooks"),
        ("BACKEND_KEY", "whsec_c2VjcmV0"),
        (
            "TELEGRAM_BOT_TOKEN",
            "7000000001:AAH-example-of-35-characters-abcdef",
        ),
        ("TELEGRAM_WEBHOOK_SECRET", "example-secret"),
        ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
        ("TWILIO_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("TWILIO_FROM", "+12025550100"),
    ];
    let file = Temporary::new(&text);
    let sources = Sources {
        file: Some(file.0.clone()),
        environment: environment(&secrets),
    };
    let config = load::load(&sources, switchboard_channels::KINDS).unwrap();
    for role in Role::ALL {
        config.check_roles(&[role]).unwrap();
    }
    config.check_channels(&["support-bot".to_owned()]).unwrap();
    assert!(!config.sandbox_enabled());
    assert_eq!(
        config.spool.path,
        PathBuf::from("/var/lib/switchboard/data/spool")
    );
}
