"""pywa: signatures, our fixtures, and its client against the emulator."""

import copy
import json
import logging
import urllib.parse
import warnings

from pywa import WhatsApp
from pywa import errors as wa_errors
from pywa.types import (
    Button,
    CallbackButton,
    CallbackSelection,
    Contact,
    Message,
    MessageStatus,
    MessageType,
    RawUpdate,
    Section,
    SectionList,
    SectionRow,
)
from pywa.utils import webhook_updates_validator

import fixtures
from checks import wait_for
from world import SENT

KIND = "whatsapp"
DANA = "15550142233"
PICTURE = "https://files.example.net/blue.png"
LISTS = ("messages", "message_echoes", "statuses", "user_preferences")

# Accepted fixtures whose point is that something in them is missing, of the wrong type or unheard of:
# we carry on, the library need not.
ODD_ON_PURPOSE = {
    "batch-one-bad",
    "body-array",
    "body-number",
    "contacts",
    "contacts-empty",
    "deep-body",
    "deep-nesting",
    "duplicate-keys",
    "edits",
    "entry-missing",
    "entry-null",
    "entry-wrong-types",
    "huge-numbers",
    "ignored-fields",
    "interactive-flow",
    "interactive-unknown",
    "lists-wrong-types",
    "location-impossible",
    "media-unavailable",
    "new-types",
    "object-page",
    "order",
    "preferences",
    "reactions",
    "status-failed",
    "status-group",
    "status-odd",
    "system",
    "template-button",
    "text-bad-time",
    "text-milliseconds",
}


def judge(world, check):
    # It warns of every value that it does not know, and logs what it does not handle.
    warnings.simplefilter("ignore")
    logging.getLogger("pywa").setLevel(logging.CRITICAL)
    settings = world.settings(KIND)
    app = WhatsApp(
        phone_id=settings["phone_number_id"],
        token=settings["access_token"],
        verify_token=settings["verify_token"],
        app_secret=secrets_of(settings)[0],
        filter_updates=False,
        api_version=settings.get("api_version", "v25.0").removeprefix("v"),
    )
    # The library has no public way to be pointed elsewhere than at Meta.
    session = app.api._session
    version = settings.get("api_version", "v25.0")
    session.base_url = f"{world.api_base(KIND)}/{version}"
    signatures(check, settings)
    handshakes(world, check, app)
    the_fixtures(check, app)
    for part in (texts, files, choices, customers, errors):
        with check.step(part.__name__):
            part(world, check, app)


def secrets_of(settings):
    """The app's secrets: one, or several while it is changed."""
    found = settings["app_secret"]
    return found if isinstance(found, list) else [found]


def signed(settings, request):
    """Whether the library believes a request, with any of the secrets."""
    header = request.headers.get("x-hub-signature-256", "")
    return any(
        webhook_updates_validator(secret, request.body, header)
        for secret in secrets_of(settings)
        if header.isascii()
    )


def signatures(check, settings):
    """The library believes exactly the fixtures that we believe."""
    agreed = [0, 0]
    for fixture in fixtures.inbound(KIND):
        if fixture.method != "POST" or fixture.expected.get("rejected") == "malformed":
            continue  # the library takes a signature without its prefix: not judged by it
        believed = signed(settings, fixture)
        check.equal(f"{fixture.name}: the library believes it", believed, not fixture.rejected)
        agreed[believed] += 1
    check("fixtures of both sorts were judged", min(agreed) > 3, agreed)


def handshakes(world, check, app):
    """The gateway answers Meta's handshake as the library does."""
    token = world.settings(KIND)["verify_token"]
    for given, challenge in ((token, "1158201444"), ("wrong", "1158201444"), (token, "<b>&")):
        query = {"hub.mode": "subscribe", "hub.verify_token": given, "hub.challenge": challenge}
        path = f"/webhooks/{world.id(KIND)}?{urllib.parse.urlencode(query)}"
        status, _, body = world.post(path, {}, None, "GET")
        expected, code = app.webhook_challenge_handler(given, challenge)
        check.equal(f"a handshake with {given}", status, code)
        if code == 200:
            check.equal("the challenge", body.decode(), expected)


def elements(body):
    """Each element of a webhook alone: the library reads only the first of each."""
    for entry in body["entry"]:
        for change in entry["changes"]:
            value = change["value"]
            for name in LISTS:
                for item in value.get(name) or []:
                    one = {k: copy.deepcopy(v) for k, v in value.items() if k not in LISTS}
                    one[name] = [item]
                    number = item.get("from") or item.get("recipient_id")
                    # The library wants what Meta sends only since business-scoped ids exist.
                    people = one.setdefault("contacts", [{"wa_id": number}])
                    for person in people:
                        person.setdefault("user_id", "US.1")
                        person.setdefault("profile", {"name": "nobody"})
                    change_of_one = {"field": change["field"], "value": one}
                    yield item, {**body, "entry": [{"id": entry["id"], "changes": [change_of_one]}]}


def read_by(app, body):
    """What the library makes of a webhook. Its public entry logs what it cannot read."""
    raw = RawUpdate(json.dumps(body).encode(), hmac_header=None, update_hash="")
    kind = app._get_handler_type(raw)
    return app._handlers_to_updates[kind].from_update(client=app, update=raw)


def the_fixtures(check, app):
    """The library reads what we read, to the same text."""
    read = 0
    for fixture in fixtures.inbound(KIND):
        if not fixture.accepted or fixture.method != "POST" or fixture.name in ODD_ON_PURPOSE:
            continue
        ours = {}
        for event in fixture.expected["events"]:
            ours.setdefault(event["body"].get("platform_id"), []).append(event["body"])
        for item, body in elements(json.loads(fixture.body)):
            with check.step(f"{fixture.name}: {item.get('id')} is read"):
                # Several statuses of one message come in the same order on both sides.
                bodies = ours.get(item.get("id"))
                body_of_ours = bodies.pop(0) if bodies else None
                same(check, fixture.name, body_of_ours, read_by(app, body))
                read += 1
    check("fixtures were read", read > 40, read)


def same(check, name, ours, theirs):
    """What we and the library read is the same."""
    if ours is None:
        return  # opt-outs, reactions and the like have no message id with us
    if isinstance(theirs, MessageStatus) and ours["type"] == "status":
        # A voice note that was heard is read, with us.
        status = {"played": "read"}.get(theirs.status.value, theirs.status.value)
        check.equal(f"{name}: the status", ours["status"], status)
        check.equal(f"{name}: our reference", ours.get("our_reference"), theirs.tracker)
    elif isinstance(theirs, (CallbackButton, CallbackSelection)):
        pressed = ours["structured"]
        found = (pressed["payload"], pressed["title"])
        check.equal(f"{name}: what was pressed", found, (theirs.data, theirs.title))
        replied = theirs.reply_to_message.message_id if theirs.reply_to_message else None
        check.equal(f"{name}: on what", ours.get("reply_to"), replied)
    elif isinstance(theirs, Message) and theirs.type in (MessageType.ORDER, MessageType.UNKNOWN):
        pass  # our words for an order; a type that the library does not know any more
    elif isinstance(theirs, Message) and ours["type"] == "message":
        text = theirs.text or theirs.caption or ""
        check.equal(f"{name}: the text", ours.get("text", ""), text)
        replied = theirs.reply_to_message.message_id if theirs.reply_to_message else None
        check.equal(f"{name}: what it answers", ours.get("reply_to"), replied)
        if theirs.location:
            place = (theirs.location.latitude, theirs.location.longitude)
            found = (ours["location"]["latitude"], ours["location"]["longitude"])
            check.equal(f"{name}: the place", found, place)
        has_file = bool(theirs.media)
        check.equal(f"{name}: a file", bool(ours.get("attachments")), has_file)


def shown(world, sent):
    """The line of a message on the emulated phone."""
    lines = [line for line in world.phone(KIND) if line["id"] == sent.id]
    return lines[0] if len(lines) == 1 else {}


def texts(world, check, app):
    first = app.send_message(DANA, "Grüße 👍🏽 *bold*", preview_url=True, tracker="ref-1")
    check("it has an id", first.id.startswith("wamid."), first)
    check.equal("it stands on the phone", shown(world, first).get("text"), "Grüße 👍🏽 *bold*")
    answer = app.send_message(DANA, "an answer", reply_to_message_id=first.id)
    check.equal("the answer, too", shown(world, answer).get("text"), "an answer")
    app.send_reaction(DANA, "👍", first.id)
    check.equal("a reaction", shown(world, first).get("reactions"), ["👍"])
    app.remove_reaction(DANA, first.id)
    check.equal("taken off", shown(world, first).get("reactions"), [])
    place = app.send_location(DANA, 59.33, 18.07, "Desk", "Street 1")
    check("a place", shown(world, place).get("extras"), shown(world, place))
    name = Contact.Name(formatted_name="Sam Field", first_name="Sam")
    card = Contact(name=name, phones=[Contact.Phone(phone="+46701740605", type="CELL")])
    sent = app.send_contact(DANA, card)
    check("a card", shown(world, sent).get("extras"), shown(world, sent))


def files(world, check, app):
    by_link = app.send_image(DANA, PICTURE, caption="blue")
    check.equal("a picture by link", shown(world, by_link).get("text"), "blue")
    content = bytes(range(256)) * 40
    media = app.upload_media(content, mime_type="application/pdf", filename="plan.pdf")
    url = app.get_media_url(media.id)
    check.equal("its size", url.file_size, len(content))
    check.equal("its type", url.mime_type, "application/pdf")
    check.equal("its bytes", app.get_media_bytes(url.url), content)
    paper = app.send_document(DANA, media.id, filename="plan.pdf", caption="the plan")
    check.equal("a paper by id", shown(world, paper).get("text"), "the plan")
    film = app.send_video(DANA, "https://files.example.net/film.mp4")
    check("a film", shown(world, film).get("extras"), shown(world, film))
    sound = app.send_audio(DANA, "https://files.example.net/sound.mp3")
    check("a sound", shown(world, sound).get("extras"), shown(world, sound))


def choices(world, check, app):
    """Buttons and lists, and what pressing them posts."""
    asked = app.send_message(DANA, "Blue?", buttons=[Button("Yes ✓", "yes"), Button("No", "no")])
    check.equal("the buttons", shown(world, asked).get("buttons"), ["Yes ✓", "No"])
    pressed = update_after(world, check, app, {"do": "press", "button": "Yes ✓"})
    check("a button was pressed", isinstance(pressed, CallbackButton), pressed)
    check.equal("which", (pressed.data, pressed.title), ("yes", "Yes ✓"))
    check.equal("on what", pressed.reply_to_message.message_id, asked.id)
    rows = [SectionRow("Standard", "row_1", "3 days"), SectionRow("Express", "row_2", "1 day")]
    menu = SectionList("Choose", [Section("Shipping", rows)])
    listed = app.send_message(DANA, "How?", buttons=menu)
    check.equal("the rows", shown(world, listed).get("buttons"), ["Standard", "Express"])
    pressed = update_after(world, check, app, {"do": "press", "button": "row_2"})
    check("a row was chosen", isinstance(pressed, CallbackSelection), pressed)
    check.equal("which one", (pressed.data, pressed.title), ("row_2", "Express"))


def update_after(world, check, app, action):
    """The one webhook that follows from an action, believed and read."""
    hooks = [h for h in world.act(KIND, **action) if b'"statuses"' not in h.body]
    check(f"{action}: one webhook", len(hooks) == 1, len(hooks))
    check(f"{action}: the library believes it", signed(world.settings(KIND), hooks[0]))
    check.equal(f"{action}: the gateway takes it", hooks[0].answer, 200)
    return read_by(app, json.loads(hooks[0].body))


def customers(world, check, app):
    said = update_after(world, check, app, {"do": "say", "text": "Hallo ü 👍🏽 a/b"})
    check.equal("what was said", said.text, "Hallo ü 👍🏽 a/b")
    check.equal("by whom", said.from_user.wa_id, DANA)
    check("it is read", app.mark_message_as_read(said.id))
    file = {"name": "plan.pdf", "mime": "application/pdf", "content": "one two"}
    sent = update_after(world, check, app, {"do": "say", "text": "here", "attachment": file})
    check.equal("the file's name", sent.document.filename, "plan.pdf")
    check.equal("the file's bytes", sent.document.get_bytes(), b"one two")
    spot = {"latitude": 59.33, "longitude": 18.07}
    sent = update_after(world, check, app, {"do": "say", "location": spot})
    check.equal("the place", (sent.location.latitude, sent.location.longitude), (59.33, 18.07))
    # Through the gateway: its send, the statuses that follow, and the customer reading it.
    path = f"/webhooks/{world.id(KIND)}"
    before = len(world.recorder.to(path))
    sent = world.call("whatsapp-send-message", to=DANA, message="from the gateway", wait=10)
    check("the gateway sends", sent.get("status") in SENT, sent)
    hooks = lambda: world.recorder.to(path)[before:]
    wait_for("a status `delivered`", lambda: any(b'"delivered"' in h.body for h in hooks()))
    world.act(KIND, do="read")
    for hook in hooks():
        check("the library believes a status", signed(world.settings(KIND), hook))
        for _, one in elements(json.loads(hook.body)):
            status = read_by(app, one)
            check("it is a status", isinstance(status, MessageStatus), status)


def errors(world, check, app):
    stranger = "15550149999"
    for name, kind, call in (
        (
            "outside the window",
            wa_errors.ReEngagementMessage,
            lambda: app.send_message(stranger, "x"),
        ),
        (
            "not on WhatsApp",
            wa_errors.MessageUndeliverable,
            lambda: app.send_message("19995550100", "x"),
        ),
        ("an unknown file", wa_errors.WhatsAppError, lambda: app.send_image(DANA, "123456789")),
        ("a long text", wa_errors.WhatsAppError, lambda: app.send_message(DANA, "x" * 4097)),
        ("an unknown object", wa_errors.WhatsAppError, lambda: app.get_media_url("999")),
        (
            "four buttons",
            wa_errors.WhatsAppError,
            lambda: app.send_message(DANA, "x", buttons=[Button(f"b{i}", f"b{i}") for i in range(4)]),
        ),
    ):
        with check.refused(name, kind):
            call()
    right = app.api._session.headers["authorization"]
    app.api._session.headers["authorization"] = "Bearer wrong"
    with check.refused("a wrong token", wa_errors.AuthorizationError):
        app.send_message(DANA, "x")
    app.api._session.headers["authorization"] = right
