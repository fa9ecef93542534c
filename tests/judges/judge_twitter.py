"""oauthlib: OAuth 1.0a in both directions. It signs for a client of the emulator, and verifies what the
gateway signs; webhooks and challenges are judged by hmac of the standard library."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import subprocess
import time
import urllib.parse

import oauthlib.oauth1
from oauthlib.oauth1.rfc5849 import signature as rfc5849
from oauthlib.common import Request

import fixtures
from checks import wait_for
from world import SENT, TOKEN, Recorder, free_port, toml

KIND = "twitter"
SIGNATURE = "x-twitter-webhooks-signature"


def judge(world, check):
    settings = world.settings(KIND)
    signatures(check, settings)
    client = Client(world.api_base(KIND), settings)
    for part in (challenges, account, messages, customers, errors):
        with check.step(part.__name__):
            part(world, check, client, settings)
    with check.step("what the gateway signs"):
        the_gateways_own(world, check, settings)


def mac(settings, content):
    """What X puts into the header, and we into the answer of a challenge."""
    digest = hmac.new(settings["api_secret"].encode(), content, hashlib.sha256).digest()
    return f"sha256={base64.b64encode(digest).decode()}"


def signatures(check, settings):
    """The fixtures that we believe are those that are signed."""
    agreed = [0, 0]
    for fixture in fixtures.inbound(KIND):
        if fixture.method != "POST":
            continue
        believed = fixture.headers.get(SIGNATURE) == mac(settings, fixture.body)
        check.equal(f"{fixture.name}: it is signed", believed, not fixture.rejected)
        agreed[believed] += 1
    check("fixtures of both sorts were judged", agreed[0] > 3 and agreed[1] > 25, agreed)


class Client:
    """A client of the API, signed by oauthlib."""

    def __init__(self, base, settings, **changes):
        self.base = base
        keys = settings | changes
        self.oauth = oauthlib.oauth1.Client(
            keys["api_key"],
            client_secret=keys["api_secret"],
            resource_owner_key=keys["access_token"],
            resource_owner_secret=keys["access_token_secret"],
        )

    def ask(self, method, path, body=None, form=None, replay=None):
        """Asks; gives status, JSON and the headers that were sent."""
        headers = {}
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        if form is not None:
            body = urllib.parse.urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        # JSON is not part of the signature, and oauthlib hashes what it is given.
        signed_body = body if form is not None else None
        url, sent, _ = self.oauth.sign(
            self.base + path,
            http_method=method,
            body=signed_body,
            headers=dict(headers) if form is not None else None,
        )
        headers |= {"Authorization": (replay or sent)["Authorization"]}
        split = urllib.parse.urlsplit(url)
        target = split.path + (f"?{split.query}" if split.query else "")
        connection = http.client.HTTPConnection(split.hostname, split.port, timeout=30)
        try:
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else {}, headers
        finally:
            connection.close()

    def send(self, to, text):
        """Sends a text."""
        path = f"/2/dm_conversations/with/{to}/messages"
        return self.ask("POST", path, {"text": text})[:2]


def challenges(world, check, client, settings):
    """The gateway answers X's challenge as whoever has the secret."""
    path = f"/webhooks/{world.id(KIND)}"
    for token in ("MWU0ZWYtdG9rZW4tMDAx", "a b&c=é"):
        query = urllib.parse.urlencode({"crc_token": token, "nonce": "1"})
        status, _, body = world.post(f"{path}?{query}", {}, None, "GET")
        check.equal(f"the challenge {token}", status, 200)
        expected = mac(settings, token.encode())
        check.equal(f"the answer to {token}", json.loads(body)["response_token"], expected)


def account(world, check, client, settings):
    status, me, sent = client.ask("GET", "/2/users/me?user.fields=name,username")
    check.equal("oauthlib's signature is taken", status, 200)
    check.equal("whose it is", me["data"]["id"], settings["user_id"])
    status, _, _ = client.ask("GET", "/2/users/me?user.fields=name,username", replay=sent)
    check.equal("not twice", status, 401)
    for key in ("api_secret", "access_token_secret", "access_token", "api_key"):
        stranger = Client(world.api_base(KIND), settings, **{key: "guess"})
        status, _, _ = stranger.ask("GET", "/2/users/me")
        check.equal(f"not with another {key}", status, 401)


def customer(world):
    """Somebody who writes."""
    world.act(KIND, do="say", text="hello")
    return world.phone(KIND)[-1]["customer"]


def messages(world, check, client, settings):
    somebody = customer(world)
    status, sent = client.send(somebody, "Grüße 👍🏽 a+b&c")
    check.equal("a text is taken", status, 201)
    lines = [l for l in world.phone(KIND) if l["id"] == sent["data"]["dm_event_id"]]
    check.equal("it stands on the phone", [l["text"] for l in lines], ["Grüße 👍🏽 a+b&c"])
    path = f"/2/dm_conversations/with/{somebody}/dm_events?max_results=50"
    status, listed, _ = client.ask("GET", f"{path}&dm_event.fields=id,text,sender_id")
    check.equal("a query with commas is signed alike", status, 200)
    ids = [event["id"] for event in listed["data"]]
    check("and lists it", sent["data"]["dm_event_id"] in ids, ids)


def customers(world, check, client, settings):
    """What the emulator posts is signed; what the gateway sends arrives."""
    posted = world.act(KIND, do="say", text="Hallo ü 👍🏽")
    # Echoes of what was sent before may still be on their way.
    hooks = [hook for hook in posted if b'"dm.received"' in hook.body]
    check.equal("one webhook", len(hooks), 1)
    signed = hooks[0].headers.get(SIGNATURE) == mac(settings, hooks[0].body)
    check("it is signed", signed, hooks[0].body)
    check.equal("the gateway takes it", hooks[0].answer, 200)
    somebody = world.phone(KIND)[-1]["customer"]
    answer = world.call(
        "messaging-platforms-send-message",
        channel=world.id(KIND),
        to=somebody,
        message="from the gateway",
        wait=10,
    )
    check("the gateway sends", answer.get("status") in SENT, answer)
    shown = lambda: [l for l in world.phone(KIND) if l["text"] == "from the gateway"]
    check.equal("it stands on the phone once", len(shown()), 1)


def errors(world, check, client, settings):
    check.equal("a stranger", client.send("4040404040404040404", "x")[0], 404)
    somebody = customer(world)
    check.equal("nothing", client.send(somebody, " ")[0], 400)
    check.equal("too much", client.send(somebody, "x" * 10_001)[0], 400)
    world.act(KIND, do="block")
    check.equal("blocked", client.send(somebody, "x")[0], 403)
    world.act(KIND, do="unblock")


def verified(request, base, settings):
    """Whether oauthlib believes a request of the gateway's."""
    header = request.headers.get("authorization", "")
    body = request.body.decode("utf-8", "replace")
    kind = request.headers.get("content-type", "")
    uri = base + request.path
    # Of bodies only forms are signed.
    signed_body = body if "x-www-form-urlencoded" in kind else ""
    parameters = rfc5849.collect_parameters(
        uri_query=urllib.parse.urlsplit(uri).query,
        body=signed_body,
        headers={"Authorization": header},
        exclude_oauth_signature=False,
        with_realm=False,
    )
    named = dict(parameters)
    asked = Request(uri, request.method, signed_body, {"Authorization": header})
    asked.params = [(k, v) for k, v in parameters if k != "oauth_signature"]
    asked.signature = named.get("oauth_signature", "")
    believed = rfc5849.verify_hmac_sha1(
        asked, settings["api_secret"], settings["access_token_secret"]
    )
    return believed, named


def the_gateways_own(world, check, settings):
    """A gateway whose X is a recorder: oauthlib verifies each of its requests."""

    def answer(request):
        if request.path.startswith("/2/users/me"):
            found = {"data": {"id": settings["user_id"], "name": "Shop", "username": "shop"}}
            return 200, [("content-type", "application/json")], json.dumps(found).encode()
        if request.path.endswith("/messages"):
            found = {"data": {"dm_conversation_id": "1-2", "dm_event_id": "1990000000000000001"}}
            return 201, [("content-type", "application/json")], json.dumps(found).encode()
        return 404, [("content-type", "application/json")], b"{}"

    platform = Recorder(answer)
    base = f"http://127.0.0.1:{platform.port}"
    port = free_port()
    scratch = pathlib.Path(world.scratch) / "oauthlib"
    scratch.mkdir()
    lines = [
        "[server]",
        f'listen = "127.0.0.1:{port}"',
        f'public_url = "http://127.0.0.1:{port}"',
        "[api]",
        f"tokens = [{toml(TOKEN)}]",
        "[sandbox]",
        "enabled = false",
        "[[channels]]",
        'id = "x"',
        'kind = "twitter"',
        f"api_base = {toml(base)}",
    ]
    lines += [f"{key} = {toml(value)}" for key, value in settings.items()]
    config = scratch / "switchboard.toml"
    config.write_text("\n".join(lines) + "\n")
    ours = {k: v for k, v in os.environ.items() if not k.startswith("SWITCHBOARD_")}
    command = [world.binary, "check", "--config", str(config)]
    probe = subprocess.run(command, cwd=scratch, env=ours, capture_output=True, timeout=60)
    check.equal("the probe is content", probe.returncode, 0)
    with open(scratch / "serve.log", "wb") as log:
        command = [world.binary, "serve", "--config", str(config)]
        gateway = subprocess.Popen(command, cwd=scratch, env=ours, stdout=log, stderr=log)
    # It ends with the others.
    world.processes.append(gateway)
    body = {
        "token": TOKEN,
        "function": "messaging-platforms-send-message",
        "channel": "x",
        "to": "1000000000000000002",
        "message": "signed",
    }

    def sent():
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            kind = {"content-type": "application/json"}
            connection.request("POST", "/api", json.dumps(body | {"idempotency_key": "once"}), kind)
            return json.loads(connection.getresponse().read()).get("status") in SENT
        except OSError:
            return False

    wait_for("the gateway's send", sent, 30)
    requests = list(platform.requests)
    posts = [r for r in requests if r.method == "POST"]
    check.equal("one send", len(posts), 1)
    check("and a probe", any(r.method == "GET" for r in requests), requests)
    nonces = set()
    for request in requests:
        name = f"{request.method} {request.path.split('?')[0]}"
        believed, named = verified(request, base, settings)
        check(f"oauthlib believes {name}", believed, named)
        check.equal(f"{name}: whose key", named["oauth_consumer_key"], settings["api_key"])
        check.equal(f"{name}: whose token", named["oauth_token"], settings["access_token"])
        check(f"{name}: now", abs(int(named["oauth_timestamp"]) - time.time()) < 300, named)
        nonces.add(named["oauth_nonce"])
        other = settings | {"api_secret": "guess"}
        check(f"not with another secret: {name}", not verified(request, base, other)[0])
    check.equal("no nonce is used twice", len(nonces), len(requests))
