//! A deterministic fuzzer over every kind: changed copies of the fixtures go through everything that
//! reads what strangers send.
//!
//! `FUZZ_ITERATIONS` (per kind; default small, so that it runs with the other tests) and `FUZZ_SEED`
//! steer it. A failure names seed, iteration and input.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may panic: that is how it fails"
)]

#[path = "behaviour/answers.rs"]
#[allow(dead_code, reason = "the behaviour suite uses the rest")]
mod answers;
#[path = "behaviour/expect.rs"]
#[allow(dead_code, reason = "the behaviour suite uses the rest")]
mod expect;
#[path = "behaviour/fixture.rs"]
#[allow(dead_code, reason = "the behaviour suite uses the rest")]
mod fixture;
#[path = "behaviour/inbound.rs"]
#[allow(dead_code, reason = "the behaviour suite uses the rest")]
mod inbound;
#[path = "behaviour/mutate.rs"]
#[allow(dead_code, reason = "the behaviour suite uses the rest")]
mod mutate;
#[path = "behaviour/outbound.rs"]
#[allow(dead_code, reason = "the behaviour suite uses the rest")]
mod outbound;
#[path = "behaviour/total.rs"]
#[allow(dead_code, reason = "the behaviour suite uses the rest")]
mod total;
#[path = "behaviour/world.rs"]
#[allow(dead_code, reason = "the behaviour suite uses the rest")]
mod world;

use fixture::{NOW, Subject};
use mutate::{Rng, bytes, json_variant, json_variants};
use switchboard_channels::Channel;
use switchboard_channels::kit::http::{Body, Headers, Inbound, Request, Response};
use switchboard_channels::model::Part;
use world::{Fake, calm, deliver, text_part};

/// Iterations per kind unless `FUZZ_ITERATIONS` says otherwise: a second or two, unoptimised.
const ITERATIONS: u64 = 4000;

/// The most bytes of our own making beside what came in.
const OWN_BYTES: usize = 20_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// What the fixtures of a kind hold, as seeds.
struct Corpus {
    requests: Vec<Inbound>,
    answers: Vec<Response>,
    calls: Vec<Request>,
    part: Part,
}

impl Corpus {
    fn of(subject: &Subject, channel: &dyn Channel) -> Result<Self, String> {
        let census = subject.census();
        let requests = census.inbound.iter().map(|name| subject.inbound(name));
        let mut answers: Vec<Response> = census
            .answers
            .iter()
            .map(|name| subject.answer(name))
            .collect::<Result<_, _>>()?;
        for name in &census.codes {
            answers.extend(
                answers::rows(subject, name)?
                    .iter()
                    .map(answers::Row::response),
            );
        }
        let mut calls = Vec::new();
        for name in &census.outbound {
            let written = outbound::Written::read(subject, name)?;
            for part in channel.plan(&written.outgoing()).unwrap_or_default() {
                let fake = Fake::always(Response::empty(500));
                deliver(channel, &part, &fake)?.ok();
                calls.extend(fake.take_calls());
            }
        }
        let corpus = Self {
            requests: requests.collect::<Result<_, _>>()?,
            answers,
            calls,
            part: text_part(subject, channel)?,
        };
        if corpus.requests.is_empty() || corpus.answers.is_empty() || corpus.calls.is_empty() {
            return Err("a family has no fixture to start from".into());
        }
        Ok(corpus)
    }
}

/// A changed body: by structure where it has one, else by bytes.
fn changed(rng: &mut Rng, body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice(body) {
        Ok(document) if rng.below(2) == 0 => {
            let at = rng.below(json_variants(&document));
            json_variant(&document, at).1.to_string().into_bytes()
        }
        _ => bytes(rng, body),
    }
}

fn changed_text(rng: &mut Rng, text: &str) -> String {
    String::from_utf8_lossy(&bytes(rng, text.as_bytes())).into_owned()
}

fn changed_headers(rng: &mut Rng, headers: &Headers) -> Headers {
    let mut out = Headers::default();
    for (name, value) in headers.iter() {
        match rng.below(12) {
            0 => {}
            1 => out.push(name, changed_text(rng, value)),
            _ => out.push(name, value),
        }
    }
    out
}

/// A webhook: nothing panics, an unsigned change is at most refused, and reading it stays bounded.
fn webhook(rng: &mut Rng, channel: &dyn Channel, corpus: &Corpus) -> Result<(), String> {
    let mut request = rng.pick(&corpus.requests).clone();
    let body = changed(rng, &request.body);
    request.headers = changed_headers(rng, &request.headers);
    if rng.below(4) == 0 {
        request.query = changed_text(rng, &request.query);
        let base = request.url.split('?').next().unwrap_or_default().to_owned();
        request.url = format!("{base}?{}", request.query);
    }
    request.body = body.clone().into();
    let guarded = || {
        let reply = channel.handshake(&request);
        channel.verify(&request).ok();
        reply
    };
    let reply = calm(guarded).map_err(|e| format!("handshake or verify: {e}, at {request:?}"))?;
    if reply.is_some_and(|r| r.body.len() > OWN_BYTES + request.query.len()) {
        return Err("the handshake's reply has no end".into());
    }
    total::bounded(channel, &request, body).map(drop)
}

/// An answer: no panic, words that are words, and a receipt that names what it took.
fn answer(rng: &mut Rng, channel: &dyn Channel, corpus: &Corpus) -> Result<(), String> {
    let mut response = rng.pick(&corpus.answers).clone();
    response.body = changed(rng, &response.body).into();
    response.headers = changed_headers(rng, &response.headers);
    if rng.below(3) == 0 {
        response.status = 100 + u16::try_from(rng.below(500)).unwrap_or(0);
    }
    let (status, size) = (response.status, response.body.len());
    let shown = format!("{status} {}", response.text());
    let fake = Fake::always(response);
    let outcome = calm(|| deliver(channel, &corpus.part, &fake))
        .flatten()
        .map_err(|e| format!("classify: {e}, at {shown}"))?;
    match outcome {
        Ok(_) if !(200..300).contains(&status) => Err(format!("a success: {shown}")),
        Ok(receipt) if receipt.answer.len() > OWN_BYTES + 6 * size => {
            Err(format!("an endless receipt: {shown}"))
        }
        Ok(receipt) => answers::named(&receipt).map_err(|e| format!("{e}: {shown}")),
        Err(error) => answers::words(error.words.as_ref()).map_err(|e| format!("{e}: {shown}")),
    }
}

/// A call to the emulator, which strangers' integrations are tried out against.
fn call(rng: &mut Rng, subject: &Subject, corpus: &Corpus) -> Result<(), String> {
    let setup = subject.setup()?;
    let mut emulator = (subject.kind.emulator)(&setup.common(), setup.settings.clone())
        .map_err(|e| e.to_string())?;
    let mut request = rng.pick(&corpus.calls).clone();
    if rng.below(4) == 0 {
        request.url = changed_text(rng, &request.url);
    }
    request.body = match request.body {
        Body::Json(text) => {
            Body::Json(String::from_utf8_lossy(&changed(rng, text.as_bytes())).into_owned())
        }
        Body::Form(mut pairs) if !pairs.is_empty() => {
            let at = rng.below(pairs.len());
            pairs[at].1 = changed_text(rng, &pairs[at].1);
            Body::Form(pairs)
        }
        Body::Multipart(mut fields) if !fields.is_empty() => {
            let at = rng.below(fields.len());
            fields[at].bytes = bytes(rng, &fields[at].bytes).into();
            Body::Multipart(fields)
        }
        _ => Body::Raw(bytes(rng, b"{\"to\":\"\"}").into()),
    };
    let shown = format!("{request:?} {:?}", request.body);
    let handled = calm(|| emulator.handle(&request, NOW))
        .map_err(|e| format!("the emulator: {e}, at {shown}"))?;
    if !(200..600).contains(&handled.response.status) || handled.hooks.len() > 100 {
        return Err(format!(
            "the emulator answers {:?} to {shown}",
            handled.response
        ));
    }
    Ok(())
}

#[test]
fn changed_fixtures_break_nothing() {
    let iterations = number("FUZZ_ITERATIONS", ITERATIONS);
    let seed = number("FUZZ_SEED", 1);
    let subjects = Subject::all();
    assert!(
        !subjects.is_empty(),
        "no kind is registered: nothing was tested"
    );
    for subject in subjects {
        let name = subject.kind.name;
        let channel = subject.channel().unwrap_or_else(|e| panic!("{name}: {e}"));
        let corpus =
            Corpus::of(&subject, channel.as_ref()).unwrap_or_else(|e| panic!("{name}: {e}"));
        for iteration in 0..iterations {
            // A generator of its own per iteration: one of them is repeated without the others.
            let mut rng =
                Rng::new(seed.wrapping_mul(1_000_003).wrapping_add(iteration) << 8 | 0x5b);
            let outcome = match rng.below(4) {
                0 | 1 => webhook(&mut rng, channel.as_ref(), &corpus),
                2 => answer(&mut rng, channel.as_ref(), &corpus),
                _ => call(&mut rng, &subject, &corpus),
            };
            if let Err(fault) = outcome {
                panic!("{name}, FUZZ_SEED={seed}, iteration {iteration}: {fault}");
            }
        }
    }
}
