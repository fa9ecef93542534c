"""python-telegram-bot: reads our fixtures, and drives the emulator through its whole surface."""

import asyncio
import datetime
import io
import json

from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    InputMediaVideo,
    KeyboardButton,
    ReplyKeyboardMarkup,
    ReplyParameters,
    Update,
)
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken

import fixtures
from world import PUBLIC_URL

KIND = "telegram"
DANA = 5550001001
PICTURE = "https://files.example.net/blue.png"
# Nine bytes that begin like a PNG: the emulator looks at no picture.
PNG = b"\x89PNG\r\n\x1a\n."
# Fixtures that we read although their sender is no Telegram: nothing is known of what a library
# makes of them.
MADE_UP = ("hostile-",)
# What the library has no name for yet (it keeps such things raw), by fixture.
NEWER_THAN_THE_LIBRARY = ("kind-of-the-future", "content-of-the-future")


def judge(world, check):
    the_fixtures(check)
    asyncio.run(the_emulator(world, check))


def the_fixtures(check):
    """The library reads every update that we read, to the same message."""
    read = 0
    for fixture in fixtures.inbound(KIND):
        if not fixture.accepted or fixture.name.startswith(MADE_UP):
            continue
        with check.step(f"{fixture.name} is read"):
            update = Update.de_json(json.loads(fixture.body), None)
            check("it has a number", isinstance(update.update_id, int), update)
            if fixture.name not in NEWER_THAN_THE_LIBRARY:
                check(f"{fixture.name}: it has a kind", known_kind(update), update.api_kwargs)
            same_message(check, fixture, update)
            read += 1
    check("fixtures were read", read > 30, read)


def known_kind(update):
    """Whether the library knows what kind of update this is."""
    kinds = [name for name in Update.ALL_TYPES if getattr(update, name, None) is not None]
    return len(kinds) == 1


def same_message(check, fixture, update):
    """A message of ours has the text, the sender and the place that the library reads."""
    message = update.message or update.business_message or update.channel_post
    ours = [e for e in fixture.expected["events"] if e["body"]["type"] == "message"]
    if message is None or len(ours) != 1:
        return
    event, body = ours[0], ours[0]["body"]
    name = fixture.name
    text = message.text or message.caption or ""
    if not body.get("structured"):
        check.equal(f"{name}: the text", body.get("text", ""), text)
    ids = body["platform_id"].split(":")
    # What only one person of a group sees has the number 0 and another one beside it.
    if message.message_id != 0:
        check.equal(f"{name}: the number", ids[-1], str(message.message_id))
    check.equal(f"{name}: the chat", ids[0].split("@")[0], str(message.chat_id))
    if message.location and "location" in body:
        place = (body["location"]["latitude"], body["location"]["longitude"])
        check.equal(
            f"{name}: the place", place, (message.location.latitude, message.location.longitude)
        )
    when = datetime.datetime.fromtimestamp(event["at"] / 1000, datetime.timezone.utc)
    check.equal(f"{name}: the time", when, message.date)


async def the_emulator(world, check):
    """The library talks to our emulator as to Telegram."""
    base = world.api_base(KIND)
    token = world.settings(KIND)["bot_token"]
    places = {"base_url": f"{base}/bot", "base_file_url": f"{base}/file/bot"}
    async with Bot(token, **places) as bot:
        for part in (texts, files, albums, customers, webhooks, errors):
            with check.step(part.__name__):
                await part(world, check, bot)
    with check.refused("a wrong token", InvalidToken):
        async with Bot("7000000001:AAAnotherTokenOf35Characters-abc_xyz", **places):
            pass


async def texts(world, check, bot):
    me = await bot.get_me()
    check("it is a bot", me.is_bot and me.id == 7000000001, me)
    first = await bot.send_message(DANA, "Grüße 👍🏽 <b>not bold</b>")
    check.equal("the text comes back", first.text, "Grüße 👍🏽 <b>not bold</b>")
    check("the chat comes back", first.chat.id == DANA and first.chat.type == "private")
    now = datetime.datetime.now(datetime.timezone.utc)
    check("the time is now", abs((now - first.date).total_seconds()) < 60, first.date)
    rows = [
        [InlineKeyboardButton("Yes ✓", callback_data="yes"), InlineKeyboardButton("No", callback_data="no")],
        [InlineKeyboardButton("Shop", url="https://shop.example.com/")],
    ]
    markup = InlineKeyboardMarkup(rows)
    asked = await bot.send_message(DANA, "Blue?", reply_markup=markup)
    check.equal("the buttons come back", asked.reply_markup, markup)
    keyboard = ReplyKeyboardMarkup([[KeyboardButton("Send it")]], one_time_keyboard=True)
    shown = await bot.send_message(DANA, "keyboard", reply_markup=keyboard)
    check("a keyboard belongs to the chat", shown.reply_markup is None, shown.reply_markup)
    answer = await bot.send_message(
        DANA, "an answer", reply_parameters=ReplyParameters(first.message_id)
    )
    check.equal("what it answers", answer.reply_to_message.message_id, first.message_id)
    changed = await bot.edit_message_text("Green?", DANA, asked.message_id)
    check("it was changed", changed.text == "Green?" and changed.edit_date is not None, changed)
    check("it was removed", await bot.delete_message(DANA, changed.message_id))
    check("an action", await bot.send_chat_action(DANA, "typing"))
    check("a reaction", await bot.set_message_reaction(DANA, first.message_id, "👍"))
    spot = await bot.send_location(DANA, 59.33, 18.07)
    check.equal("a place", (spot.location.latitude, spot.location.longitude), (59.33, 18.07))
    venue = await bot.send_venue(DANA, 59.33, 18.07, "Desk", "Street 1")
    check.equal("a venue", (venue.venue.title, venue.venue.address), ("Desk", "Street 1"))
    card = await bot.send_contact(DANA, "+46701740605", "Sam", "Field")
    check.equal("a card", (card.contact.phone_number, card.contact.first_name), ("+46701740605", "Sam"))


async def files(world, check, bot):
    by_link = await bot.send_photo(DANA, PICTURE, caption="blue")
    check("a picture by link", by_link.photo and by_link.caption == "blue", by_link)
    uploaded = await bot.send_photo(DANA, PNG, filename="blue.png", caption="ein Bild ü")
    check.equal("the caption of an upload", uploaded.caption, "ein Bild ü")
    again = await bot.send_photo(DANA, uploaded.photo[-1].file_id)
    check.equal("a picture by id", again.photo[-1].file_unique_id, uploaded.photo[-1].file_unique_id)
    content = bytes(range(256)) * 40
    paper = await bot.send_document(DANA, io.BytesIO(content), filename="Rechnung ä.pdf")
    check.equal("its size", paper.document.file_size, len(content))
    check.equal("its name", paper.document.file_name, "Rechnung ä.pdf")
    file = await bot.get_file(paper.document.file_id)
    check.equal("its size again", file.file_size, len(content))
    check.equal("its bytes", bytes(await file.download_as_bytearray()), content)
    for name, send in (
        ("video", bot.send_video),
        ("audio", bot.send_audio),
        ("voice", bot.send_voice),
        ("animation", bot.send_animation),
        ("sticker", bot.send_sticker),
    ):
        sent = await send(DANA, io.BytesIO(content))
        check(f"{name} comes back", getattr(sent, name, None) is not None, sent)
    photos = await bot.get_user_profile_photos(DANA)
    check.equal("pictures of a person", photos.total_count, 0)


async def albums(world, check, bot):
    items = [
        InputMediaPhoto(PICTURE, caption="first"),
        InputMediaPhoto(PNG, filename="second.png"),
        InputMediaVideo("https://files.example.net/film.mp4"),
    ]
    sent = await bot.send_media_group(DANA, items)
    check.equal("an album's messages", len(sent), 3)
    check.equal("one group", len({message.media_group_id for message in sent}), 1)
    check("it has a name", sent[0].media_group_id)
    check.equal("its caption", sent[0].caption, "first")
    check("its film", sent[2].video is not None, sent[2])


async def customers(world, check, bot):
    """What the customer does arrives at the gateway in a form that the library reads."""
    rows = [[InlineKeyboardButton("Blue", callback_data="colour=blue")]]
    asked = await bot.send_message(DANA, "Which?", reply_markup=InlineKeyboardMarkup(rows))
    file = {"name": "plan.pdf", "mime": "application/pdf", "content": "one two"}
    place = {"latitude": 59.33, "longitude": 18.07, "name": "Desk", "address": "Street 1"}
    for action, kind in (
        ({"do": "say", "text": "/start hello"}, "message"),
        ({"do": "say", "text": "here", "attachment": file}, "message"),
        ({"do": "say", "location": place}, "message"),
        ({"do": "edit", "text": "changed"}, "edited_message"),
        ({"do": "react", "emoji": "👍"}, "message_reaction"),
        ({"do": "press", "button": "Blue"}, "callback_query"),
        ({"do": "block"}, "my_chat_member"),
        ({"do": "unblock"}, "my_chat_member"),
    ):
        if action["do"] == "edit":
            world.act(KIND, do="say", text="to be changed")
        with check.step(f"the customer does {action}"):
            hooks = world.act(KIND, **action)
            check("one update is posted", len(hooks) == 1, len(hooks))
            update = Update.de_json(json.loads(hooks[0].body), bot)
            found = getattr(update, kind)
            check(f"it is a {kind}", found is not None, hooks[0].body)
            check.equal("the gateway takes it", hooks[0].answer, 200)
            secret = world.settings(KIND)["webhook_secret"]
            header = hooks[0].headers.get("x-telegram-bot-api-secret-token")
            check.equal("it carries the secret", header, secret)
            if kind == "callback_query":
                check.equal("what was pressed", found.data, "colour=blue")
                check.equal("on what", found.message.message_id, asked.message_id)
                await press_is_answered(check, bot, found)
            if kind == "message" and found.document:
                got = await (await found.document.get_file()).download_as_bytearray()
                check.equal("the file's bytes", bytes(got), b"one two")
            if kind == "my_chat_member":
                status = {"block": "kicked", "unblock": "member"}[action["do"]]
                check.equal("the new state", found.new_chat_member.status, status)


async def press_is_answered(check, bot, query):
    """The gateway answers every press itself, or the library does: a second time is refused."""
    try:
        check("the press is answered", await query.answer("thanks"))
    except BadRequest:
        pass  # the gateway was quicker
    with check.refused("a second answer", BadRequest, lambda e: "query" in str(e).lower()):
        await bot.answer_callback_query(query.id)


async def webhooks(world, check, bot):
    ours = f"{PUBLIC_URL}/webhooks/{world.id(KIND)}"
    secret = world.settings(KIND)["webhook_secret"]
    info = await bot.get_webhook_info()
    check.equal("the webhook is set from the start", info.url, ours)
    with check.refused("updates beside a webhook", Conflict):
        await bot.get_updates()
    check("it is removed", await bot.delete_webhook())
    check.equal("it is gone", (await bot.get_webhook_info()).url, "")
    world.act(KIND, do="say", text="while nobody listens")
    waiting = await bot.get_updates()
    check.equal("updates wait", waiting[-1].message.text, "while nobody listens")
    kinds = ["message", "edited_message", "callback_query", "my_chat_member", "message_reaction"]
    check(
        "it is set again",
        await bot.set_webhook(ours, secret_token=secret, allowed_updates=kinds, max_connections=20),
    )
    info = await bot.get_webhook_info()
    check.equal("with these kinds", sorted(info.allowed_updates), sorted(kinds))
    for problem, url, more in (
        ("http", "http://gw.example.net/webhooks/x", {}),
        ("a port", "https://gw.example.net:9000/webhooks/x", {}),
        ("a secret", ours, {"secret_token": "with spaces"}),
    ):
        with check.refused(f"{problem} is refused", BadRequest):
            await bot.set_webhook(url, **more)


async def errors(world, check, bot):
    for name, words, call in (
        ("an unknown chat", "chat not found", bot.send_message(987654321, "x")),
        ("an empty text", "text is empty", bot.send_message(DANA, " ")),
        ("a long text", "too long", bot.send_message(DANA, "x" * 4097)),
        ("a long caption", "too long", bot.send_photo(DANA, PICTURE, caption="x" * 1025)),
        ("an unknown file", "file", bot.get_file("none")),
        ("no such message", "not found", bot.delete_message(DANA, 1)),
    ):
        with check.refused(name, BadRequest, lambda e: words in str(e).lower()):
            await call
    world.act(KIND, do="block")
    with check.refused("a customer who blocks us", Forbidden, lambda e: "blocked" in str(e)):
        await bot.send_message(DANA, "x")
    world.act(KIND, do="unblock")
