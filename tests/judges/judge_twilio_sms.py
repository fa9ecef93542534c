"""Twilio's own library: signatures in both directions, and its client against the emulator."""

import logging
import urllib.parse

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import (
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)
from twilio.rest import Client

import fixtures
from checks import wait_for
from world import SENT

KIND = "twilio-sms"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
CUSTOMER = "+12025550142"



# Stricter than the library on purpose: Twilio writes UTF-8, and of anything else the library takes
# what its reader of forms happens to put in its place.
NOT_BELIEVED_BY_US = "hostile-no-utf8"


class Params(dict):
    """Parameters of which some come more than once, in the form that the library asks for."""

    def __init__(self, body):
        super().__init__()
        pairs = urllib.parse.parse_qsl(body, keep_blank_values=True, errors="replace")
        for name, value in pairs:
            self.setdefault(name, []).append(value)

    def getall(self, name):
        return self[name]


def params_of(request):
    """What Twilio signs of a request's body."""
    if request.headers.get("content-type", "").startswith("application/json"):
        return request.body.decode()
    return Params(request.body.decode(errors="replace"))


def is_twilios(request, settings):
    """What Twilio's library says of a request."""
    header = request.headers.get(SIGNATURE_SETTINGS_HEADER.lower(), "")
    key = dict(part.split("=", 1) for part in header.split(",") if "=" in part).get("key")
    token = settings["webhook_shared_keys"].get(key) if key else settings["auth_token"]
    if token is None:
        return False
    signature = request.headers.get(SIGNATURE_HEADER.lower(), "")
    algorithm = get_signature_algorithm(header)
    params = params_of(request)
    if isinstance(params, str) and "bodySHA256" not in request.url:
        return False  # the library has no answer: it breaks off
    return RequestValidator(token).validate(request.url, params, signature, algorithm)


def judge(world, check):
    # It warns of algorithms that it does not know, which some fixtures name on purpose.
    logging.getLogger("twilio").setLevel(logging.ERROR)
    settings = world.settings(KIND)
    the_fixtures(check, settings)
    our_emulator(world, check, settings)
    our_gateway(world, check, RequestValidator(settings["auth_token"]), settings)
    its_client(world, check, settings)


def the_fixtures(check, settings):
    """The library believes exactly the fixtures that we believe."""
    agreed = [0, 0]
    for fixture in fixtures.inbound(KIND):
        believed = is_twilios(fixture, settings)
        if fixture.name == NOT_BELIEVED_BY_US:
            check(f"{fixture.name}: we are still stricter", believed and fixture.rejected)
            continue
        check.equal(f"{fixture.name}: the library believes it", believed, not fixture.rejected)
        agreed[believed] += 1
    check("fixtures of both sorts were judged", min(agreed) > 3, agreed)


def our_emulator(world, check, settings):
    """The library believes what our emulator posts, and the gateway takes it."""
    file = {"name": "plan.txt", "mime": "text/plain", "content": "one two"}
    for action in (
        {"do": "say", "text": "Grüße & 5 + 6 = 11 👍🏽\nnext line"},
        {"do": "say", "from": "+12025550143", "text": "", "attachment": file},
        {"do": "block", "from": "+12025550144"},
    ):
        with check.step(f"the customer does {action}"):
            hooks = world.act(KIND, **action)
            check("one webhook is posted", len(hooks) == 1, len(hooks))
            for hook in hooks:
                check("the library believes it", is_twilios(hook, settings), hook.body)
                check.equal("the gateway takes it", hook.answer, 200)
    before = len(world.recorder.to("/webhooks/sms"))
    sent = world.call("send-sms", to=CUSTOMER, message="status please", wait=10)
    check("the gateway sends", sent.get("status") in SENT, sent)
    with check.step("statuses are posted"):
        posted = lambda: world.recorder.to("/webhooks/sms")[before:]
        last = lambda: any(b"MessageStatus=delivered" in hook.body for hook in posted())
        wait_for("the status `delivered`", last)
        for hook in posted():
            check("the library believes a status", is_twilios(hook, settings), hook.body)
            check("the gateway takes a status", hook.answer in (200, 204), hook.answer)


def our_gateway(world, check, validator, settings):
    """The gateway believes what the library signs, and nothing else."""
    path = f"/webhooks/{world.id(KIND)}"
    message = {
        "MessageSid": "SM" + "1" * 32,
        "AccountSid": settings["account_sid"],
        "From": CUSTOMER,
        "To": settings["from"],
        "Body": "Åland & 1+1=2 😀",
        "NumMedia": "0",
        "FromCity": "",
    }
    status = {
        "MessageSid": "SM" + "2" * 32,
        "AccountSid": settings["account_sid"],
        "MessageStatus": "delivered",
        "To": CUSTOMER,
        "From": settings["from"],
    }
    body = b'{"eventType":"demo","text":"\xc3\xa5"}'
    hashed = f"?bodySHA256={validator.compute_hash(body.decode())}"
    origin = "https://gw.example.net"

    def post(target, content_type, content, signature, more=None):
        headers = {"content-type": content_type, SIGNATURE_HEADER: signature} | (more or {})
        return world.post(target, headers, content)[0]

    for port in ("", ":443"):
        for name, params in (("message", message), ("status", status)):
            for query in ("", "?gw=sb-1-0&x=a%20b"):
                signature = validator.compute_signature(origin + port + path + query, params)
                form = urllib.parse.urlencode(params).encode()
                found = post(path + query, FORM, form, signature)
                title = f"a {name} to {port or 'no port'} {query}"
                check(f"{title} is taken", found in (200, 204), found)
                changed = form.replace(b"5550142", b"5550149")
                found = post(path + query, FORM, changed, signature)
                check.equal(f"{title}, changed, is not", found, 401)
                more = "&y=1" if query else "?y=1"
                found = post(path + query + more, FORM, form, signature)
                check.equal(f"{title}, elsewhere, is not", found, 401)
        signature = validator.compute_signature(origin + port + path + hashed, {})
        found = post(path + hashed, "application/json", body, signature)
        check(f"JSON to {port or 'no port'} is taken", found in (200, 204), found)
        found = post(path + hashed, "application/json", body + b" ", signature)
        check.equal(f"JSON to {port or 'no port'}, changed, is not", found, 401)
    for key, secret in settings["webhook_shared_keys"].items():
        for algorithm in ("HMAC_SHA256", "HMAC_SHA1"):
            shared = RequestValidator(secret)
            signature = shared.compute_signature(origin + path, message, algorithm)
            form = urllib.parse.urlencode(message).encode()
            header = {SIGNATURE_SETTINGS_HEADER: f"key={key},algorithm={algorithm}"}
            found = post(path, FORM, form, signature, header)
            check(f"a signature by shared key, {algorithm}, is taken", found == 200, found)
            other = {SIGNATURE_SETTINGS_HEADER: f"key=WK0,algorithm={algorithm}"}
            found = post(path, FORM, form, signature, other)
            check.equal(f"one by an unknown key, {algorithm}, is not", found, 401)


def its_client(world, check, settings):
    """Twilio's client talks to our emulator as to Twilio."""
    client = Client(settings["account_sid"], settings["auth_token"])
    client.api.base_url = world.api_base(KIND)
    ours = settings["from"]
    messages = client.messages
    with check.step("a text is created"):
        made = messages.create(to=CUSTOMER, from_=ours, body="from the library ✓")
        check.equal("its status", made.status, "queued")
        check.equal("its direction", made.direction, "outbound-api")
        check.equal("its segments", made.num_segments, "1")
        check("its date is read", made.date_created is not None)
        check.equal("it is fetched", messages(made.sid).fetch().body, "from the library ✓")
        shown = [line for line in world.phone(KIND) if line["id"] == made.sid]
        check.equal("it stands on the phone", [l["text"] for l in shown], ["from the library ✓"])
    with check.step("a picture is created"):
        link = "https://files.example.net/blue.png"
        made = messages.create(to=CUSTOMER, from_=ours, media_url=[link, link])
        check.equal("its media", made.num_media, "2")
        check("its id", made.sid.startswith("MM"), made.sid)
    with check.step("messages are listed"):
        found = messages.list(to=CUSTOMER, limit=2)
        check.equal("as many as asked for", len(found), 2)
        check.equal("the newest first", found[0].sid, made.sid)
    with check.step("a message is deleted"):
        check.equal("it is gone", messages(made.sid).delete(), True)
        with check.refused("then", TwilioRestException, lambda e: e.status == 404):
            messages(made.sid).fetch()
    with check.step("the account is read"):
        check.equal("its status", client.api.accounts(settings["account_sid"]).fetch().status, "active")
    for code, arguments in (
        (21211, {"to": "12", "from_": ours, "body": "x"}),
        (21610, {"to": "+15005550004", "from_": ours, "body": "x"}),
        (21610, {"to": "+12025550144", "from_": ours, "body": "x"}),
        (21606, {"to": CUSTOMER, "from_": "+15005550007", "body": "x"}),
        (21617, {"to": CUSTOMER, "from_": ours, "body": "x" * 1601}),
        (21602, {"to": CUSTOMER, "from_": ours, "body": " "}),
        (21603, {"to": CUSTOMER, "body": "x"}),
    ):
        with check.refused(f"error {code}", TwilioRestException, lambda e: e.code == code):
            messages.create(**arguments)
    stranger = Client(settings["account_sid"], "wrong")
    stranger.api.base_url = world.api_base(KIND)
    with check.refused("a wrong token", TwilioRestException, lambda e: e.status == 401):
        stranger.messages.create(to=CUSTOMER, from_=ours, body="x")
