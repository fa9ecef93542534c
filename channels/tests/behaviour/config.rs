//! Laws about settings: what is wrong is refused by name, and no message quotes a secret.

use super::fixture::{Setup, Subject};
use super::world::calm;
use serde_json::{Value, json};

/// The settings of `settings.json` with one thing wrong at a time.
pub fn refused_by_name(subject: &Subject) -> Result<(), String> {
    let setup = subject.setup()?;
    if setup.secrets().is_empty() {
        return Err("settings.json has no secret to look for".into());
    }
    let fields = setup
        .settings
        .as_object()
        .ok_or("`settings` is no object")?;
    let mut unknown = fields.clone();
    unknown.insert("no_such_key".to_owned(), json!(1));
    match build(subject, &setup, Value::Object(unknown))? {
        Some(error) if error.contains("no_such_key") => {}
        other => return Err(format!("an unknown key is not refused by name: {other:?}")),
    }
    for key in fields.keys() {
        let wrong = [
            json!(null),
            json!(4.5),
            json!({"a": {"b": 1}}),
            json!([[1]]),
            json!(""),
            json!("a value\nof no use"),
        ];
        for value in wrong {
            let mut changed = fields.clone();
            changed.insert(key.clone(), value.clone());
            let error = build(subject, &setup, Value::Object(changed))?;
            let is_shape = matches!(value, Value::Object(_) | Value::Array(_));
            match error {
                Some(error) if is_shape && !error.contains(key.as_str()) => {
                    return Err(format!(
                        "{key} = {value} is refused without its name: {error}"
                    ));
                }
                None if is_shape => return Err(format!("{key} = {value} is accepted")),
                _ => {}
            }
        }
        let mut missing = fields.clone();
        missing.remove(key);
        build(subject, &setup, Value::Object(missing))?;
    }
    Ok(())
}

/// Builds a channel and its emulator; gives the error, having looked for secrets in it.
fn build(subject: &Subject, setup: &Setup, settings: Value) -> Result<Option<String>, String> {
    let common = setup.common();
    let both = || {
        let channel = (subject.kind.build)(&common, settings.clone()).err();
        let emulator = (subject.kind.emulator)(&common, settings.clone()).err();
        (channel, emulator)
    };
    let (channel, emulator) = calm(both).map_err(|e| format!("{e}, with {settings}"))?;
    for error in [&channel, &emulator].into_iter().flatten() {
        let text = format!("{error} {error:?}");
        if setup.secrets().iter().any(|s| text.contains(s.as_str())) {
            return Err("an error about the settings quotes a secret".into());
        }
    }
    Ok(channel.map(|e| e.to_string()))
}
