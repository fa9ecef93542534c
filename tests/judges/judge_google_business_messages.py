"""PyJWT, and hmac of the standard library: Google withdrew its own libraries with the product.

PyJWT judges the assertion with which the gateway asks for a token, and makes the one with which a client
of this file asks the emulator; the challenge and the signatures are computed here, independently.
"""

import base64
import hashlib
import hmac
import http.client
import json
import time
import urllib.parse
import urllib.request
import uuid

import jwt
from cryptography.hazmat.primitives import serialization

import fixtures
from checks import wait_for
from world import SENT

KIND = "google-business-messages"
SIGNATURE = "x-goog-signature"
SCOPE = "https://www.googleapis.com/auth/businessmessages"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
HOUR = 3600
# What an outbound fixture shows of the call for a token: made at the suite's time.
WITH_ASSERTION = ("text-token-expired", "text-token-refused")


def judge(world, check):
    settings = world.settings(KIND)
    account = json.loads(settings["service_account_json"])
    keys = [settings["client_token"], settings["partner_key"]]
    signatures(check, keys)
    assertions(check, account)
    client = Client(world.api_base(KIND), account)
    for part in (challenge, tokens, messages, customers, errors):
        with check.step(part.__name__):
            part(world, check, client, keys)


def signed(keys, request):
    """Whether one of the keys signs the body of a request."""
    given = request.headers.get(SIGNATURE, "")
    macs = (hmac.new(key.encode(), request.body, hashlib.sha512).digest() for key in keys)
    return any(hmac.compare_digest(base64.b64encode(mac).decode(), given) for mac in macs)


def signatures(check, keys):
    """The fixtures that we believe are those that are signed."""
    agreed = [0, 0]
    for fixture in fixtures.inbound(KIND):
        if "handshake" in fixture.expected:
            continue
        believed = signed(keys, fixture)
        check.equal(f"{fixture.name}: it is signed", believed, not fixture.rejected)
        agreed[believed] += 1
    check("fixtures of both sorts were judged", agreed[0] > 4 and agreed[1] > 25, agreed)


def public_key(account):
    """The public half of the account's key."""
    key = serialization.load_pem_private_key(account["private_key"].encode(), None)
    return key.public_key()


def assertions(check, account):
    """PyJWT believes the assertions in the fixtures."""
    key = public_key(account)
    for name in WITH_ASSERTION:
        path = fixtures.folder(KIND) / "outbound" / f"{name}.parts.json"
        part = json.loads(path.read_text())["parts"][0]
        forms = [r["body"]["form"] for r in part["requests"] if "form" in r["body"]]
        check.equal(f"{name}: one call for a token", len(forms), 1)
        form = dict(forms[0])
        check.equal(f"{name}: the grant", form["grant_type"], GRANT)
        with check.step(f"{name}: PyJWT believes the assertion"):
            # The suite's clock stands still; what the times say is checked below.
            claims = jwt.decode(
                form["assertion"],
                key,
                algorithms=["RS256"],
                audience=account["token_uri"],
                issuer=account["client_email"],
                options={
                    "verify_exp": False,
                    "verify_iat": False,
                    "require": ["iss", "aud", "exp", "iat", "scope"],
                },
            )
            check.equal(f"{name}: the scope", claims["scope"], SCOPE)
            check.equal(f"{name}: the life", claims["exp"] - claims["iat"], HOUR)
            header = jwt.get_unverified_header(form["assertion"])
            check.equal(f"{name}: the key", header["kid"], account["private_key_id"])
        with check.refused(f"{name}: for nobody else", jwt.InvalidAudienceError):
            options = {"verify_exp": False, "verify_iat": False}
            jwt.decode(
                form["assertion"], key, algorithms=["RS256"], audience="other", options=options
            )


class Client:
    """A client of the API, as one would be written with PyJWT."""

    def __init__(self, base, account):
        self.base = base
        self.account = account
        self.token = ""

    def ask(self, method, path, body, headers):
        """Asks; gives status and JSON."""
        url = urllib.parse.urlsplit(self.base)
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        try:
            connection.request(method, url.path + path, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else {}
        finally:
            connection.close()

    def assertion(self, **changes):
        """An assertion of the account's."""
        now = int(time.time())
        claims = {
            "iss": self.account["client_email"],
            "scope": SCOPE,
            "aud": self.account["token_uri"],
            "iat": now,
            "exp": now + HOUR,
        }
        claims |= changes
        headers = {"kid": self.account["private_key_id"]}
        return jwt.encode(claims, self.account["private_key"], algorithm="RS256", headers=headers)

    def ask_token(self, assertion):
        """Asks for a token with an assertion."""
        form = urllib.parse.urlencode({"grant_type": GRANT, "assertion": assertion})
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self.ask("POST", "/token", form, headers)

    def call(self, method, path, body):
        """A call with the token."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        return self.ask(method, f"/v1/{path}", json.dumps(body), headers)

    def send(self, conversation, **content):
        """Sends a message; its id is ours."""
        content.setdefault("messageId", str(uuid.uuid4()))
        content.setdefault("representative", {"representativeType": "BOT"})
        return self.call("POST", f"conversations/{conversation}/messages", content)


def challenge(world, check, client, keys):
    """The gateway answers the challenge with its secret and nothing else, to who knows the token."""
    path = f"/webhooks/{world.id(KIND)}"
    kind = {"content-type": "application/json"}
    for token, status, body in ((keys[0], 200, b"echo 42"), ("guess", 403, b"")):
        asked = json.dumps({"clientToken": token, "secret": "echo 42"}).encode()
        found = world.post(path, kind, asked)
        check.equal(f"the challenge of {token}", (found[0], found[2]), (status, body))
    event = json.dumps({"conversationId": "c-1", "requestId": "r-judge"}).encode()
    for key in keys:
        mac = hmac.new(key.encode(), event, hashlib.sha512).digest()
        given = kind | {SIGNATURE: base64.b64encode(mac).decode()}
        check.equal("a signed event is taken", world.post(path, given, event)[0], 200)
    check.equal("an unsigned one is not", world.post(path, kind, event)[0], 401)
    mac = hmac.new(b"another", event, hashlib.sha512).digest()
    given = kind | {SIGNATURE: base64.b64encode(mac).decode()}
    check.equal("nor one with another key", world.post(path, given, event)[0], 401)


def tokens(world, check, client, keys):
    """The emulator hands tokens out as Google does."""
    now = int(time.time())
    for name, changes in (
        ("another account", {"iss": "stranger@example.net"}),
        ("another audience", {"aud": "https://elsewhere.example/token"}),
        ("two hours", {"exp": now + 2 * HOUR}),
        ("yesterday", {"iat": now - 90_000, "exp": now - 86_400}),
    ):
        status, answer = client.ask_token(client.assertion(**changes))
        check.equal(f"{name} is refused", (status, answer["error"]), (400, "invalid_grant"))
    status, answer = client.ask_token(client.assertion(scope="https://www.googleapis.com/auth/drive"))
    check.equal("another scope", (status, answer["error"]), (400, "invalid_scope"))
    status, answer = client.ask_token(client.assertion()[:-4] + "AAAA")
    check.equal("a forged signature", (status, answer["error"]), (400, "invalid_grant"))
    status, answer = client.ask_token(client.assertion())
    check.equal("an account is taken", (status, answer["token_type"]), (200, "Bearer"))
    check("for an hour", 3500 < answer["expires_in"] <= HOUR, answer)
    client.token = answer["access_token"]


def customer(world):
    """Somebody who has written."""
    world.act(KIND, do="say", text="hello")
    return world.phone(KIND)[-1]["customer"]


def messages(world, check, client, keys):
    somebody = customer(world)
    picture = {"contentInfo": {"fileUrl": "https://files.example.net/a.jpg", "altText": "a"}}
    yes = {"reply": {"text": "Yes", "postbackData": "gw:yes"}}
    card = {"title": "A", "media": {"height": "TALL"} | picture, "suggestions": [yes]}
    two = [{"title": "A"}, {"title": "B"}]
    for name, content in (
        ("text", {"text": "Grüße 👍🏽", "fallback": "Grüße", "suggestions": [yes]}),
        ("image", {"image": picture, "fallback": "a picture"}),
        ("card", {"richCard": {"standaloneCard": {"cardContent": card}}}),
        (
            "carousel",
            {"richCard": {"carouselCard": {"cardWidth": "MEDIUM", "cardContents": two}}},
        ),
    ):
        status, answer = client.send(somebody, **content)
        check.equal(f"{name} is taken", status, 200)
        lines = [line for line in world.phone(KIND) if line["id"] == answer.get("messageId")]
        check.equal(f"{name} stands on the phone", len(lines), 1)
    body = {
        "eventType": "TYPING_STARTED",
        "representative": {"representativeType": "HUMAN", "displayName": "Ana"},
    }
    status, _ = client.call("POST", f"conversations/{somebody}/events?eventId={uuid.uuid4()}", body)
    check.equal("typing is taken", status, 200)


def spoken(hooks):
    """Those that carry what a customer said: a receipt of an earlier send may come among them."""
    return [hook for hook in hooks if "message" in json.loads(hook.body)]


def customers(world, check, client, keys):
    """What the emulator posts is signed; what the gateway sends arrives, once."""
    said = spoken(world.act(KIND, do="say", text='Hallo ü 👍🏽 "q"'))
    check.equal("one webhook", len(said), 1)
    check("it is signed", signed(keys, said[0]), said[0].body)
    event = json.loads(said[0].body)
    check.equal("what was said", event["message"]["text"], 'Hallo ü 👍🏽 "q"')
    check.equal("the gateway takes it", said[0].answer, 200)
    somebody = event["conversationId"]
    path = f"/webhooks/{world.id(KIND)}"
    before = len(world.recorder.to(path))
    answer = world.call(
        "gbm-send-message",
        channel=world.id(KIND),
        google_conversation_id=somebody,
        message="from the gateway",
        attachments=[["plan.pdf", "https://files.example.net/plan.pdf"]],
        wait=10,
    )
    check("the gateway sends", answer.get("status") in SENT, answer)
    first, attachments, token = answer["response"]
    check.equal("the answer to the text", json.loads(first)["text"], "from the gateway")
    check.equal("the answers to the attachments", len(attachments), 1)
    check.equal("no token is told", token, "")
    version = uuid.UUID(json.loads(first)["messageId"]).version
    check.equal("the id is a name's UUID", version, 5)
    shown = [line for line in world.phone(KIND) if line["text"] == "from the gateway"]
    check.equal("it stands on the phone once", len(shown), 1)
    receipts = lambda: [h for h in world.recorder.to(path)[before:] if b'"receipts"' in h.body]
    wait_for("receipts", receipts)
    check("they are signed", all(signed(keys, hook) for hook in receipts()))
    picture = {"name": "a.jpg", "mime": "image/jpeg", "content": "not really"}
    told = spoken(world.act(KIND, do="say", text="", attachment=picture))
    sent = json.loads(told[0].body)
    with urllib.request.urlopen(sent["message"]["text"], timeout=10) as answer:
        check.equal("the picture is behind its link", answer.read(), b"not really")


def errors(world, check, client, keys):
    somebody = customer(world)
    twice = {"messageId": str(uuid.uuid4()), "text": "x"}
    check.equal("an id is taken", client.send(somebody, **twice)[0], 200)
    title = {"reply": {"text": "x" * 26, "postbackData": "p"}}
    for name, status, code, call in (
        ("an id is taken once", 409, "ALREADY_EXISTS", lambda: client.send(somebody, **twice)),
        ("a stranger", 404, "NOT_FOUND", lambda: client.send("nobody", text="x")),
        ("nothing", 400, "INVALID_ARGUMENT", lambda: client.send(somebody)),
        ("too much", 400, "INVALID_ARGUMENT", lambda: client.send(somebody, text="x" * 3073)),
        (
            "a long title",
            400,
            "INVALID_ARGUMENT",
            lambda: client.send(somebody, text="x", suggestions=[title]),
        ),
    ):
        found, answer = call()
        check.equal(name, (found, answer["error"]["status"]), (status, code))
    token, client.token = client.token, "ya29.guess"
    found, answer = client.send(somebody, text="x")
    check.equal("a guessed token", (found, answer["error"]["status"]), (401, "UNAUTHENTICATED"))
    client.token = token
    world.act(KIND, do="block")
    found, answer = client.send(somebody, text="x")
    check.equal("blocked", (found, answer["error"]["status"]), (403, "PERMISSION_DENIED"))
    world.act(KIND, do="unblock")
