"""Meta's signature by pywa's own validator and by hmac of the standard library; a client of this file on
the emulator. Meta publishes no Python library for Messenger; pywa speaks for WhatsApp, whose webhooks
are signed alike."""

import hashlib
import hmac
import http.client
import json
import urllib.parse

from pywa.utils import webhook_updates_validator

import fixtures
from checks import wait_for
from world import SENT

KIND = "messenger"
SIGNATURE = "x-hub-signature-256"


def judge(world, check):
    settings = world.settings(KIND)
    signatures(check, settings)
    handshakes(world, check, settings)
    for part in (texts, customers, errors):
        with check.step(part.__name__):
            part(world, check, settings)


def secrets_of(settings):
    """The app's secrets: one, or several while it is changed."""
    found = settings["app_secret"]
    return found if isinstance(found, list) else [found]


def signed(settings, request):
    """Whether both judges believe a request, with any of the secrets; raises when they differ."""
    header = request.headers.get(SIGNATURE, "")
    answers = set()
    for judge_one in (pywas, ours):
        answers.add(any(judge_one(secret, request.body, header) for secret in secrets_of(settings)))
    (answer,) = answers
    return answer


def pywas(secret, body, header):
    """The library's opinion; it takes a signature without its prefix, which Meta never sends."""
    prefixed = header.isascii() and header.startswith("sha256=")
    return prefixed and webhook_updates_validator(secret, body, header)


def ours(secret, body, header):
    """The opinion of the standard library."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={digest}".encode(), header.encode())


def signatures(check, settings):
    """The fixtures that we believe are those that are signed."""
    agreed = [0, 0]
    for fixture in fixtures.inbound(KIND):
        if fixture.method != "POST":
            continue
        with check.step(f"{fixture.name}: the judges agree"):
            believed = signed(settings, fixture)
            check.equal(f"{fixture.name}: it is signed", believed, not fixture.rejected)
            agreed[believed] += 1
    check("fixtures of both sorts were judged", agreed[0] > 3 and agreed[1] > 25, agreed)


def handshakes(world, check, settings):
    """The gateway answers Meta's handshake with the challenge, to who knows the token."""
    token = settings["verify_token"]
    for given, status, expected in ((token, 200, "<b>&1"), ("wrong", 403, None)):
        query = {"hub.mode": "subscribe", "hub.verify_token": given, "hub.challenge": "<b>&1"}
        path = f"/webhooks/{world.id(KIND)}?{urllib.parse.urlencode(query)}"
        found, _, body = world.post(path, {}, None, "GET")
        check.equal(f"a handshake with {given}", found, status)
        if expected is not None:
            check.equal("the challenge", body.decode(), expected)


def ask(world, settings, path, body, token=None):
    """A call of the Graph API as its documentation writes it; gives status and JSON."""
    url = urllib.parse.urlsplit(world.api_base(KIND))
    secret = token or settings["page_access_token"]
    proof = hmac.new(secrets_of(settings)[0].encode(), secret.encode(), hashlib.sha256).hexdigest()
    query = urllib.parse.urlencode({"appsecret_proof": proof})
    version = settings.get("api_version", "v25.0")
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    try:
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        target = f"{url.path}/{version}{path}?{query}"
        connection.request("POST", target, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def send(world, settings, to, message, token=None):
    """Sends a message of the page's."""
    body = {"recipient": {"id": to}, "messaging_type": "RESPONSE", "message": message}
    return ask(world, settings, f"/{settings['page_id']}/messages", body, token)


def customer(world):
    """Somebody who writes."""
    world.act(KIND, do="say", text="hello")
    return world.phone(KIND)[-1]["customer"]


def texts(world, check, settings):
    somebody = customer(world)
    replies = [{"content_type": "text", "title": "Yes", "payload": "YES"}]
    button = {"type": "postback", "title": "No", "payload": "NO"}
    template = {"template_type": "button", "text": "Blue?", "buttons": [button]}
    file = {"type": "image", "payload": {"url": "https://files.example.net/blue.png"}}
    for name, message in (
        ("text", {"text": "Grüße 👍🏽"}),
        ("quick replies", {"text": "Blue?", "quick_replies": replies}),
        ("buttons", {"attachment": {"type": "template", "payload": template}}),
        ("image", {"attachment": file}),
    ):
        status, answer = send(world, settings, somebody, message)
        check.equal(f"{name} is taken", (status, answer.get("recipient_id")), (200, somebody))
        lines = [l for l in world.phone(KIND) if l["id"] == answer.get("message_id")]
        check.equal(f"{name} stands on the phone", len(lines), 1)


def customers(world, check, settings):
    """What the emulator posts is signed; what the gateway sends arrives, and its echo is matched."""
    hooks = world.act(KIND, do="say", text="Hallo ü 👍🏽 a/b <c>")
    check("a webhook", len(hooks) > 0)
    for hook in hooks:
        check("it is signed", signed(settings, hook), hook.body)
        check.equal("the gateway takes it", hook.answer, 200)
    somebody = world.phone(KIND)[-1]["customer"]
    path = f"/webhooks/{world.id(KIND)}"
    before = len(world.recorder.to(path))
    answer = world.call(
        "messenger-send-message",
        psid=somebody,
        facebook_page_id=settings["page_id"],
        message="from the gateway",
        wait=10,
    )
    check("the gateway sends", answer.get("status") in SENT, answer)
    check.equal("the answer is Meta's", answer["response"]["recipient_id"], somebody)
    echoes = lambda: [h for h in world.recorder.to(path)[before:] if b'"is_echo":true' in h.body]
    wait_for("an echo", echoes)
    check("echoes are signed", all(signed(settings, hook) for hook in echoes()))
    shown = [l for l in world.phone(KIND) if l["text"] == "from the gateway"]
    check.equal("it stands on the phone once", len(shown), 1)


def errors(world, check, settings):
    somebody = customer(world)
    for name, code, call in (
        ("a stranger", 100, lambda: send(world, settings, "9999", {"text": "x"})),
        ("nothing", 100, lambda: send(world, settings, somebody, {})),
        ("too much", 100, lambda: send(world, settings, somebody, {"text": "x" * 2001})),
        ("an unknown field", 100, lambda: send(world, settings, somebody, {"txet": "x"})),
        (
            "a guessed token",
            190,
            lambda: send(world, settings, somebody, {"text": "x"}, token="EAAGguess"),
        ),
    ):
        status, answer = call()
        check.equal(name, (status, answer.get("error", {}).get("code")), (400, code))
    world.act(KIND, do="block")
    status, answer = send(world, settings, somebody, {"text": "x"})
    check.equal("blocked", (status, answer.get("error", {}).get("code")), (400, 551))
    world.act(KIND, do="unblock")
