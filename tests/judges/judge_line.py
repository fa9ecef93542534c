"""line-bot-sdk, LINE's own library: signatures, our fixtures, and its client against the emulator."""

import warnings

from linebot.v3.messaging import (
    ApiClient,
    ApiException,
    ButtonsTemplate,
    Configuration,
    ImageMessage,
    LocationMessage,
    MessageAction,
    MessagingApi,
    PostbackAction,
    PushMessageRequest,
    QuickReply,
    QuickReplyItem,
    ReplyMessageRequest,
    StickerMessage,
    TemplateMessage,
    TextMessage,
    VideoMessage,
)
from linebot.v3.models import UnknownEvent
from linebot.v3.webhook import SignatureValidator, WebhookParser
from linebot.v3.webhooks import (
    FileMessageContent,
    FollowEvent,
    LocationMessageContent,
    MessageEvent,
    PostbackEvent,
    TextMessageContent,
    UnfollowEvent,
)

import fixtures
from world import SENT

KIND = "line"
SIGNATURE = "x-line-signature"
PICTURE = "https://files.example.net/blue.jpg"
# Fixtures with an event that the library does not know by name.
OF_THE_FUTURE = ("event-of-the-future", "message-of-the-future")


def judge(world, check):
    warnings.simplefilter("ignore")
    settings = world.settings(KIND)
    validator = SignatureValidator(settings["channel_secret"])
    parser = WebhookParser(settings["channel_secret"])
    signatures(check, validator)
    the_fixtures(check, parser)
    configuration = Configuration(
        host=world.api_base(KIND), access_token=settings["channel_access_token"]
    )
    with ApiClient(configuration) as client:
        api = api_at(world, client)
        for part in (account, messages, customers, errors):
            with check.step(part.__name__):
                part(world, check, api, parser)


def api_at(world, client):
    """The library's calls, pointed at the emulator: it names LINE's own host inside."""
    api = MessagingApi(client)
    api.line_base_path = world.api_base(KIND)
    return api


def signed(validator, request):
    """Whether the library believes a request."""
    return validator.validate(request.body.decode(), request.headers.get(SIGNATURE, ""))


def signatures(check, validator):
    """The library believes exactly the fixtures that we believe."""
    agreed = [0, 0]
    for fixture in fixtures.inbound(KIND):
        if fixture.method != "POST" or fixture.name == "hostile-invalid-utf8":
            continue  # the library takes text only
        believed = signed(validator, fixture)
        check.equal(f"{fixture.name}: the library believes it", believed, not fixture.rejected)
        agreed[believed] += 1
    check("fixtures of both sorts were judged", min(agreed) > 3, agreed)


def read_by(parser, request):
    """What the library makes of a webhook."""
    return parser.parse(request.body.decode(), request.headers[SIGNATURE])


def the_fixtures(check, parser):
    """The library reads what we read, to the same text."""
    read = 0
    for fixture in fixtures.inbound(KIND):
        if not fixture.accepted or fixture.method != "POST" or fixture.name.startswith("hostile-"):
            continue
        with check.step(f"{fixture.name} is read"):
            events = read_by(parser, fixture)
            ours = {}
            for event in fixture.expected["events"]:
                ours.setdefault(event["body"].get("platform_id"), event)
            for event in events:
                same(check, fixture.name, ours, event)
            read += 1
    check("fixtures were read", read > 30, read)


def same(check, name, ours, event):
    """What we and the library read is the same."""
    known = not isinstance(event, UnknownEvent)
    check.equal(f"{name}: the library knows the event", known, name not in OF_THE_FUTURE)
    if not isinstance(event, MessageEvent) or event.message.id not in ours:
        return
    found = ours[event.message.id]
    check.equal(f"{name}: the time", found["at"], event.timestamp)
    user = getattr(event.source, "user_id", None)
    if user is not None:
        check.equal(f"{name}: by whom", found["sender"]["ids"][0], user)
    body = found["body"]
    if isinstance(event.message, TextMessageContent):
        check.equal(f"{name}: the text", body["text"], event.message.text)
    if isinstance(event.message, LocationMessageContent):
        place = (body["location"]["latitude"], body["location"]["longitude"])
        check.equal(f"{name}: the place", place, (event.message.latitude, event.message.longitude))
    if isinstance(event.message, FileMessageContent):
        check.equal(f"{name}: the file", body["attachments"][0]["name"], event.message.file_name)


def after(world, check, parser, action):
    """The events that follow from an action, believed by library and gateway."""
    found = []
    for hook in world.act(KIND, **action):
        events = read_by(parser, hook)  # raises where it does not believe
        check.equal(f"{action}: the gateway takes it", hook.answer, 200)
        found += events
    return found


def somebody(world, check, parser):
    """Somebody who has just written, and the token with which that can be answered."""
    said = after(world, check, parser, {"do": "say", "text": "hello"})
    message = next(event for event in said if isinstance(event, MessageEvent))
    return message.source.user_id, message.reply_token


def account(world, check, api, parser):
    info = api.get_bot_info()
    check.equal("the bot", info.user_id, world.settings(KIND)["bot_user_id"])
    user, _ = somebody(world, check, parser)
    check.equal("a person", api.get_profile(user).user_id, user)
    check.equal("the quota", api.get_message_quota().type, "none")


def messages(world, check, api, parser):
    user, token = somebody(world, check, parser)
    quick = QuickReply(items=[QuickReplyItem(action=MessageAction(label="Yes", text="yes"))])
    buttons = ButtonsTemplate(
        text="Which?", actions=[PostbackAction(label="Blue", data="colour=blue")]
    )
    bubbles = [
        TextMessage(text="Grüße 👍🏽", quick_reply=quick),
        ImageMessage(original_content_url=PICTURE, preview_image_url=PICTURE),
        VideoMessage(
            original_content_url="https://files.example.net/film.mp4", preview_image_url=PICTURE
        ),
        LocationMessage(title="Desk", address="Street 1", latitude=59.33, longitude=18.07),
        StickerMessage(package_id="446", sticker_id="1988"),
    ]
    sent = api.push_message(PushMessageRequest(to=user, messages=bubbles))
    check.equal("five bubbles, five ids", len({one.id for one in sent.sent_messages}), 5)
    template = TemplateMessage(alt_text="Which?", template=buttons)
    api.push_message(PushMessageRequest(to=user, messages=[template]))
    answer = ReplyMessageRequest(reply_token=token, messages=[TextMessage(text="an answer")])
    check.equal("an answer", len(api.reply_message(answer).sent_messages), 1)
    with check.refused("a token is good once", ApiException, lambda e: e.status == 400):
        api.reply_message(answer)
    key = "123e4567-e89b-12d3-a456-426614174000"
    again = PushMessageRequest(to=user, messages=[TextMessage(text="once")])
    api.push_message(again, x_line_retry_key=key)
    with check.refused("a repeated key", ApiException, lambda e: e.status == 409):
        api.push_message(again, x_line_retry_key=key)
    texts = [line["text"] for line in world.phone(KIND) if line["from_gateway"]]
    for text in ("Grüße 👍🏽", "an answer", "once"):
        check.equal(f"{text} stands on the phone once", texts.count(text), 1)


def customers(world, check, api, parser):
    said = after(world, check, parser, {"do": "say", "text": "Hallo ü 👍🏽 \"q\""})
    heard = [e for e in said if isinstance(e, MessageEvent)]
    check.equal("what was said", heard[0].message.text, "Hallo ü 👍🏽 \"q\"")
    user = heard[0].source.user_id
    file = {"name": "plan.pdf", "mime": "application/pdf", "content": "one two"}
    sent = after(world, check, parser, {"do": "say", "text": "", "attachment": file})
    paper = next(e for e in sent if isinstance(e, MessageEvent))
    check.equal("the file's name", paper.message.file_name, "plan.pdf")
    # The library's own call for this names LINE's host for files inside.
    place = f"{world.api_base(KIND)}/v2/bot/message/{paper.message.id}/content"
    token = world.settings(KIND)["channel_access_token"]
    content = api.api_client.rest_client.get_request(
        place, headers={"Authorization": f"Bearer {token}"}
    )
    check.equal("the file's bytes", content.data, b"one two")
    arguments = {"channel": world.id(KIND), "to": user, "message": "from the gateway"}
    answer = world.call("messaging-platforms-send-message", **arguments, wait=10)
    check("the gateway sends", answer.get("status") in SENT, answer)
    buttons = ButtonsTemplate(
        text="Which?", actions=[PostbackAction(label="Blue", data="colour=blue")]
    )
    template = TemplateMessage(alt_text="Which?", template=buttons)
    api.push_message(PushMessageRequest(to=user, messages=[template]))
    pressed = after(world, check, parser, {"do": "press", "button": "Blue"})
    pressed = [e for e in pressed if isinstance(e, PostbackEvent)]
    check.equal("what was pressed", [e.postback.data for e in pressed], ["colour=blue"])
    for action, kind in (("block", UnfollowEvent), ("unblock", FollowEvent)):
        events = after(world, check, parser, {"do": action})
        check(f"{action}: a {kind.__name__}", [e for e in events if isinstance(e, kind)], events)


def errors(world, check, api, parser):
    user, _ = somebody(world, check, parser)
    text = [TextMessage(text="x")]
    for name, status, request in (
        ("nobody", 400, PushMessageRequest(to="nobody", messages=text)),
        ("a long text", 400, PushMessageRequest(to=user, messages=[TextMessage(text="x" * 5001)])),
    ):
        with check.refused(name, ApiException, lambda e: e.status == status):
            api.push_message(request)
    with check.refused("an unknown person", ApiException, lambda e: e.status == 404):
        api.get_profile("U" + "0" * 32)
    wrong = Configuration(host=world.api_base(KIND), access_token="wrong")
    with ApiClient(wrong) as client:
        with check.refused("a wrong token", ApiException, lambda e: e.status == 401):
            api_at(world, client).push_message(PushMessageRequest(to=user, messages=text))
