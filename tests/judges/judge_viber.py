"""viberbot, Viber's own library: signatures, our fixtures, and its client against the emulator."""

import json
import logging

from viberbot import Api, BotConfiguration
from viberbot.api.messages import (
    ContactMessage,
    FileMessage,
    KeyboardMessage,
    LocationMessage,
    PictureMessage,
    TextMessage,
    URLMessage,
    VideoMessage,
)
from viberbot.api.messages.data_types.contact import Contact
from viberbot.api.messages.data_types.location import Location
from viberbot.api.viber_requests import (
    ViberDeliveredRequest,
    ViberFailedRequest,
    ViberMessageRequest,
    ViberSeenRequest,
    ViberSubscribedRequest,
    ViberUnsubscribedRequest,
)

import fixtures
from checks import wait_for
from world import PUBLIC_URL, SENT

KIND = "viber"
SIGNATURE = "x-viber-content-signature"
PICTURE = "https://files.example.net/blue.jpg"
# Fixtures with something that the library, of 2021, has no name for or insists on.
NEWER_THAN_THE_LIBRARY = (
    "event-of-the-future",
    "type-of-the-future",
    "client-status",
    "failed-without-words",
)
# Signatures that Viber does not make and the library, which compares texts, takes or refuses by
# accident of their form.
NOT_JUDGED = ("signature-upper-case",)


def judge(world, check):
    logging.getLogger("viber.bot.api").setLevel(logging.CRITICAL)
    settings = world.settings(KIND)
    configuration = BotConfiguration(
        name=settings["sender_name"],
        avatar=settings.get("sender_avatar"),
        auth_token=settings["auth_token"],
    )
    app = Api(configuration)
    # The library has no public way to be pointed elsewhere than at Viber.
    app._request_sender._viber_bot_api_url = world.api_base(KIND)
    signatures(check, app)
    the_fixtures(check, app)
    for part in (account, messages, customers, errors):
        with check.step(part.__name__):
            part(world, check, app)


def signed(app, request):
    """Whether the library believes a request."""
    return app.verify_signature(request.body, request.headers.get(SIGNATURE, ""))


def signatures(check, app):
    """The library believes exactly the fixtures that we believe."""
    agreed = [0, 0]
    for fixture in fixtures.inbound(KIND):
        if fixture.method != "POST" or fixture.name in NOT_JUDGED:
            continue
        believed = signed(app, fixture)
        check.equal(f"{fixture.name}: the library believes it", believed, not fixture.rejected)
        agreed[believed] += 1
    check("fixtures of both sorts were judged", min(agreed) > 3, agreed)


def the_fixtures(check, app):
    """The library reads what we read, to the same text."""
    read = 0
    for fixture in fixtures.inbound(KIND):
        odd = fixture.name.startswith("hostile-") or fixture.name in NEWER_THAN_THE_LIBRARY
        if not fixture.accepted or fixture.method != "POST" or odd:
            continue
        with check.step(f"{fixture.name} is read"):
            same(check, fixture, app.parse_request(fixture.body))
            read += 1
    check("fixtures were read", read > 25, read)


def same(check, fixture, theirs):
    """What we and the library read is the same."""
    name = fixture.name
    if not fixture.expected["events"]:
        return
    event = fixture.expected["events"][0]
    ours = event["body"]
    check.equal(f"{name}: the time", event["at"], theirs.timestamp)
    if isinstance(theirs, (ViberDeliveredRequest, ViberSeenRequest, ViberFailedRequest)):
        check.equal(f"{name}: it is a status", ours["type"], "status")
        token = str(theirs.message_token)
        check.equal(f"{name}: of which message", ours["platform_id"], token)
    elif isinstance(theirs, ViberMessageRequest) and ours["type"] == "message":
        token = str(theirs.message_token)
        check.equal(f"{name}: the number", ours["platform_id"], token)
        check.equal(f"{name}: by whom", event["sender"]["ids"][0], theirs.sender.id)
        message = theirs.message
        if isinstance(message, TextMessage) and not ours.get("structured"):
            check.equal(f"{name}: the text", ours["text"], message.text)
        if isinstance(message, LocationMessage):
            place = (ours["location"]["latitude"], ours["location"]["longitude"])
            theirs_is = (message.location.latitude, message.location.longitude)
            check.equal(f"{name}: the place", place, theirs_is)
        if isinstance(message, ContactMessage):
            card = ours["contacts"][0]
            check.equal(f"{name}: the card", card["name"], message.contact.name)
        if isinstance(message, (PictureMessage, VideoMessage, FileMessage)):
            check(f"{name}: a file", len(ours["attachments"]) == 1, ours)


def shown(world, token):
    """The line of a message on the emulated phone."""
    lines = [line for line in world.phone(KIND) if line["id"] == str(token)]
    return lines[0] if len(lines) == 1 else {}


def customer(world):
    """Somebody who writes, and is subscribed thereby."""
    world.act(KIND, do="say", text="hello")
    return world.phone(KIND)[-1]["customer"]


def account(world, check, app):
    hook = f"{PUBLIC_URL}/webhooks/{world.id(KIND)}"
    kinds = ["delivered", "seen", "failed", "subscribed", "unsubscribed", "conversation_started"]
    check("the webhook is set", "delivered" in app.set_webhook(hook, kinds))
    info = app.get_account_info()
    check("the account has an id", info["id"].startswith("pa:"), info)
    check.equal("its webhook", info["webhook"], hook)
    somebody = customer(world)
    details = app.get_user_details(somebody)
    check.equal("a person", details["id"], somebody)
    online = app.get_online([somebody])
    check.equal("who is there", online[0]["id"], somebody)


def messages(world, check, app):
    somebody = customer(world)
    keyboard = {
        "Type": "keyboard",
        "Buttons": [{"ActionType": "reply", "ActionBody": "yes", "Text": "Yes"}],
    }
    contents = [
        TextMessage(text="Grüße 👍🏽"),
        TextMessage(text="Blue?", keyboard=keyboard, tracking_data="ref-1"),
        PictureMessage(text="blue", media=PICTURE),
        VideoMessage(media="https://files.example.net/film.mp4", size=1000),
        FileMessage(media="https://files.example.net/plan.pdf", size=1000, file_name="plan.pdf"),
        LocationMessage(location=Location(lat=59.33, lon=18.07)),
        ContactMessage(contact=Contact(name="Sam", phone_number="+46701740605")),
        URLMessage(media="https://shop.example.com/"),
        KeyboardMessage(keyboard=keyboard),
    ]
    for content in contents:
        name = type(content).__name__
        with check.step(f"{name} is taken"):
            (token,) = app.send_messages(somebody, content)
            check(f"{name} has a number", int(token) > 0, token)
            if isinstance(content, TextMessage):
                check.equal(f"{name} stands on the phone", shown(world, token)["text"], content.text)


def read_after(world, check, app, action, kind):
    """What follows from an action, believed by library and gateway, read by the library."""
    hooks = world.act(KIND, **action)
    found = []
    for hook in hooks:
        check(f"{action}: the library believes it", signed(app, hook), hook.body)
        check.equal(f"{action}: the gateway takes it", hook.answer, 200)
        found.append(app.parse_request(hook.body))
    of_kind = [event for event in found if isinstance(event, kind)]
    check(f"{action}: a {kind.__name__}", len(of_kind) > 0, found)
    return of_kind[0]


def customers(world, check, app):
    said = {"do": "say", "text": "Hallo ü 👍🏽 a/b \"q\""}
    heard = read_after(world, check, app, said, ViberMessageRequest)
    check.equal("what was said", heard.message.text, said["text"])
    somebody = heard.sender.id
    file = {"name": "plan.pdf", "mime": "application/pdf", "content": "one two"}
    sent = {"do": "say", "text": "", "attachment": file}
    heard = read_after(world, check, app, sent, ViberMessageRequest)
    check.equal("the file's name", heard.message.file_name, "plan.pdf")
    place = {"do": "say", "location": {"latitude": 59.33, "longitude": 18.07}}
    heard = read_after(world, check, app, place, ViberMessageRequest)
    check.equal("the place", heard.message.location, Location(lat=59.33, lon=18.07))
    # Through the gateway: its send, the status that follows, and the customer reading it.
    path = f"/webhooks/{world.id(KIND)}"
    before = len(world.recorder.to(path))
    arguments = {"channel": world.id(KIND), "to": somebody, "message": "from the gateway"}
    answer = world.call("messaging-platforms-send-message", **arguments, wait=10)
    check("the gateway sends", answer.get("status") in SENT, answer)
    hooks = lambda: world.recorder.to(path)[before:]
    wait_for("a status `delivered`", lambda: any(b'"delivered"' in h.body for h in hooks()))
    read_after(world, check, app, {"do": "read"}, ViberSeenRequest)
    for hook in hooks():
        check("the library believes a status", signed(app, hook))
    for action, kind in (("block", ViberUnsubscribedRequest), ("unblock", ViberSubscribedRequest)):
        read_after(world, check, app, {"do": action}, kind)


def errors(world, check, app):
    somebody = customer(world)
    for name, status, call in (
        ("a stranger", 5, lambda: app.send_messages("AAAAAAAAAAAAAAAAAAAAAA==", TextMessage(text="x"))),
        ("a long text", 3, lambda: app.send_messages(somebody, TextMessage(text="x" * 7001))),
        ("no https", 1, lambda: app.set_webhook("http://gw.example.net/x")),
    ):
        with check.refused(name, Exception, lambda e: f"status: {status}," in str(e)):
            call()
    world.act(KIND, do="block")
    with check.refused("who has left", Exception, lambda e: "status: 6," in str(e)):
        app.send_messages(somebody, TextMessage(text="x"))
    world.act(KIND, do="unblock")
    stranger = Api(BotConfiguration(name="x", avatar=None, auth_token="0" * 16 + "-" + "1" * 16))
    stranger._request_sender._viber_bot_api_url = world.api_base(KIND)
    with check.refused("a wrong token", Exception, lambda e: "status: 2," in str(e)):
        stranger.send_messages(somebody, TextMessage(text="x"))
