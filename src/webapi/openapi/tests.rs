//! The document holds together, and holds everything.

use super::*;
use serde_json::Value;

fn refs<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.push(target);
            }
            if let Some(mapping) = map.get("mapping").and_then(Value::as_object) {
                found.extend(mapping.values().filter_map(Value::as_str));
            }
            map.values().for_each(|v| refs(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| refs(v, found)),
        _ => {}
    }
}

#[test]
fn every_reference_resolves() {
    let document = document("https://switchboard.example.com/");
    let mut found = Vec::new();
    refs(&document, &mut found);
    assert!(found.len() > 100, "only {} references", found.len());
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

#[test]
fn every_schema_and_response_is_used() {
    let document = document("https://switchboard.example.com");
    let mut found = Vec::new();
    refs(&document, &mut found);
    let found: BTreeSet<&str> = found.into_iter().collect();
    for section in ["schemas", "responses"] {
        for name in document["components"][section].as_object().unwrap().keys() {
            let target = format!("#/components/{section}/{name}");
            assert!(found.contains(target.as_str()), "{target} is used nowhere");
        }
    }
}

#[test]
fn every_function_is_there_with_its_arguments() {
    let document = document("https://switchboard.example.com");
    let call = &document["paths"]["/api"]["post"];
    for content_type in CONTENT_TYPES {
        let body = &call["requestBody"]["content"][content_type]["schema"];
        assert_eq!(body["oneOf"].as_array().unwrap().len(), FUNCTIONS.len());
        for function in FUNCTIONS {
            let target = body["discriminator"]["mapping"][function.name]
                .as_str()
                .unwrap();
            let schema = document.pointer(target.trim_start_matches('#')).unwrap();
            assert_eq!(schema["properties"]["function"]["const"], function.name);
            for argument in function.arguments() {
                assert_eq!(
                    schema["properties"][argument.name]["description"],
                    argument.doc
                );
                let required = schema["required"].as_array().unwrap();
                assert_eq!(required.contains(&json!(argument.name)), argument.required);
            }
        }
    }
}

#[test]
fn every_error_and_event_is_there() {
    let document = document("https://switchboard.example.com");
    let call = &document["paths"]["/api"]["post"];
    for code in Code::ALL {
        let status = code.http_status();
        assert!(!call["responses"][status.to_string()].is_null(), "{code}");
        let response = &document["components"]["responses"][format!("Error{status}")];
        assert!(
            response["description"]
                .as_str()
                .unwrap()
                .contains(code.meaning())
        );
    }
    for event in EventName::ALL {
        let example = &document["webhooks"][event.name()]["post"]["requestBody"]["content"]["application/json"]
            ["example"];
        assert_eq!(example["function"], event.name());
    }
}

#[test]
fn the_published_paths_are_there_and_operations_are_named_once() {
    let document = document("https://switchboard.example.com");
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/api",
        "/include/api.php",
        "/script/include/api.php",
        "/webhooks/{channel}",
        "/media/{key}",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/admin/lanes",
        "/admin/dead",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    let ids: Vec<&str> = paths
        .values()
        .chain(document["webhooks"].as_object().unwrap().values())
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert!(paths["/webhooks/{channel}"].get("get").is_some());
    assert!(paths["/webhooks/{channel}"].get("post").is_some());
}

#[test]
fn the_server_is_the_public_address() {
    assert_eq!(
        document("https://switchboard.example.com/")["servers"],
        json!([{"url": "https://switchboard.example.com"}])
    );
}

#[test]
fn inferred_schemas_join_what_differs() {
    let schema = schemas::inferred(&[json!({"a": "x", "b": null}), json!({"a": null})]);
    assert_eq!(
        schema,
        json!({
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": ["null", "string"]}, "b": {"type": "null"}},
        })
    );
}
