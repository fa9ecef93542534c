//! The law of credentials beside sending: probes, downloads and effects show no secret either, and
//! no link, redirection or answer talks a channel into taking its credential to a stranger.

use super::answers::media;
use super::fixture::{Setup, Subject};
use super::inbound::effects;
use super::outbound::{keeps_secrets, stays_home};
use super::world::{Fake, run};
use switchboard_channels::kit::http::{Auth, Headers, Request, Response};
use switchboard_channels::model::MediaRef;

/// Where no credential may go.
const STRANGER: &str = "https://stranger.example/take";

/// What the platform answers while a stranger tries.
fn lures() -> Vec<Response> {
    // Every place in which one of our platforms puts the link of a file.
    let body = format!(
        r#"{{"ok":true,"url":"{STRANGER}","result":{{"file_path":"{STRANGER}","url":"{STRANGER}"}},
            "mime_type":"image/jpeg","messaging_product":"whatsapp","id":"1"}}"#
    );
    let redirect = |status| Response {
        status,
        headers: Headers::default().with("location", STRANGER),
        body: bytes::Bytes::new(),
    };
    vec![
        Response::json(200, body),
        redirect(301),
        redirect(302),
        redirect(307),
        Response::empty(404),
    ]
}

/// Probes, fetches and performs, answered with each lure.
pub fn discreet(subject: &Subject) -> Result<(), String> {
    let channel = subject.channel()?;
    let setup = subject.setup()?;
    let kind = subject.kind.name;
    let mut files = media(subject)?;
    files.push(MediaRef::new(STRANGER));
    let effects = effects(subject)?;
    for lure in lures() {
        let fake = Fake::always(lure);
        run(channel.probe(&fake.ctx()))?.ok();
        let calls = fake.take_calls();
        if calls.is_empty() {
            return Err("the probe asks nothing".into());
        }
        for effect in &effects {
            run(channel.perform(effect, &fake.ctx()))?.ok();
        }
        for request in calls.iter().chain(&fake.take_calls()) {
            stays_home(&setup, request)?;
            keeps_secrets(&setup, kind, request)?;
        }
        for file in &files {
            run(channel.fetch_media(file, &fake.ctx()))?.ok();
        }
        for request in fake.take_calls() {
            // The bytes may lie elsewhere; the credential and the secrets stay here.
            keeps_secrets(&setup, kind, &request)?;
            unknown_to_strangers(&setup, &request)?;
        }
    }
    Ok(())
}

fn unknown_to_strangers(setup: &Setup, request: &Request) -> Result<(), String> {
    let host = url::Url::parse(&request.url)
        .ok()
        .and_then(|u| u.host_str().map(str::to_owned));
    if host.as_deref() != Some("stranger.example") {
        return Ok(());
    }
    let path_tells = setup.secrets().iter().any(|s| request.url.contains(s));
    if path_tells || !matches!(request.auth, Auth::None) {
        return Err("a credential is taken to a host that the platform does not own".into());
    }
    Ok(())
}
