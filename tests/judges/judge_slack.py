"""slack_sdk, Slack's own library: signatures, and its client against the emulator."""

import json
import urllib.parse

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, SectionBlock
from slack_sdk.models.metadata import Metadata
from slack_sdk.signature import Clock, SignatureVerifier

import fixtures
from world import SENT

KIND = "slack"
# When the fixtures arrive, in seconds.
NOW = 1_795_000_100
CUSTOMER = "U0CUSTOMER"
AGENT = "U0AGENT001"


class At(Clock):
    """A clock that stands."""

    def __init__(self, seconds):
        self.seconds = seconds

    def now(self):
        return self.seconds


def judge(world, check):
    settings = world.settings(KIND)
    signatures(check, settings["signing_secret"])
    client = WebClient(token=settings["bot_token"], base_url=world.api_base(KIND) + "/")
    for part in (account, messages, uploads, places, people, customers, errors):
        with check.step(part.__name__):
            part(world, check, client)


def signatures(check, secret):
    """The library believes exactly the fixtures that we believe, and the documented vector."""
    verifier = SignatureVerifier(secret, clock=At(NOW))
    agreed = [0, 0]
    for fixture in fixtures.inbound(KIND):
        if fixture.name == "hostile-invalid-utf8":
            continue  # the library takes text only
        believed = verifier.is_valid_request(fixture.body, fixture.headers)
        check.equal(f"{fixture.name}: the library believes it", believed, not fixture.rejected)
        agreed[believed] += 1
    check("fixtures of both sorts were judged", min(agreed) > 5, agreed)
    vector = next(f for f in fixtures.inbound(KIND) if f.name == "signature-vector-of-another-day")
    that_day = SignatureVerifier(secret, clock=At(1_795_219_210))
    check("the vector on its day", that_day.is_valid_request(vector.body, vector.headers))


def channel(world):
    return world.settings(KIND)["default_channel"]


def account(world, check, client):
    me = client.auth_test()
    check.equal("the workspace", me["team_id"], world.settings(KIND)["team_id"])
    check.equal("a method that is none", client.api_test()["ok"], True)


def messages(world, check, client):
    place = channel(world)
    blocks = [
        SectionBlock(text="Yes or no?"),
        ActionsBlock(
            elements=[
                ButtonElement(action_id="a:1", text="Yes", value="yes"),
                ButtonElement(action_id="a:2", text="No", value="no"),
            ]
        ),
    ]
    mark = Metadata(event_type="judged", event_payload={"id": "j-1"})
    root = client.chat_postMessage(channel=place, text="Yes or no?", blocks=blocks, metadata=mark)
    check.equal("the channel of the answer", root["channel"], place)
    reply = client.chat_postMessage(channel=place, text="in the thread", thread_ts=root["ts"])
    found = client.conversations_replies(channel=place, ts=root["ts"], include_all_metadata=True)
    check.equal("the thread", [m["ts"] for m in found["messages"]], [root["ts"], reply["ts"]])
    check.equal("its metadata", found["messages"][0]["metadata"]["event_payload"], {"id": "j-1"})
    client.chat_update(channel=place, ts=reply["ts"], text="changed")
    texts = [line["text"] for line in world.phone(KIND)]
    check("a changed message", "changed" in texts and "in the thread" not in texts, texts)
    client.chat_delete(channel=place, ts=reply["ts"])
    check("a deleted one", "changed" not in [line["text"] for line in world.phone(KIND)])
    client.reactions_add(channel=place, timestamp=root["ts"], name="eyes")
    with check.refused("a second time", SlackApiError, says("already_reacted")):
        client.reactions_add(channel=place, timestamp=root["ts"], name="eyes")
    client.reactions_remove(channel=place, timestamp=root["ts"], name="eyes")


def uploads(world, check, client):
    content = b"%PDF-1.4\n\x00\xff one & two = three"
    done = client.files_upload_v2(
        channel=channel(world), content=content, filename="plan.pdf", title="The plan",
        initial_comment="look",
    )
    file = client.files_info(file=done["files"][0]["id"])["file"]
    check.equal("the title", file["title"], "The plan")
    check.equal("its size", file["size"], len(content))
    check("where it was posted", channel(world) in file["shares"]["public"], file)
    two = [
        {"content": "one\n", "filename": "a.txt", "title": "A"},
        {"content": "two\n", "filename": "b.txt", "title": "B"},
    ]
    done = client.files_upload_v2(channel=channel(world), file_uploads=two)
    check.equal("two at once", len(done["files"]), 2)
    line = world.phone(KIND)[-1]
    check.equal("in one message", line["extras"], ["a.txt", "b.txt"])


def places(world, check, client):
    made = client.conversations_create(name="judged-1")["channel"]["id"]
    client.conversations_invite(channel=made, users=[AGENT])
    members = client.conversations_members(channel=made)["members"]
    check("who was invited", AGENT in members, members)
    listed = [c["id"] for c in every(client.conversations_list, "channels", limit=1)]
    check("it is listed, page by page", made in listed and len(listed) > 2, listed)
    client.conversations_archive(channel=made)
    with check.refused("an archived one", SlackApiError, says("is_archived")):
        client.chat_postMessage(channel=made, text="x")
    with check.refused("one without us", SlackApiError, says("not_in_channel")):
        client.chat_postMessage(channel="C0RANDOM01", text="x")
    client.conversations_join(channel="C0RANDOM01")
    client.chat_postMessage(channel="C0RANDOM01", text="we are in")
    direct = client.conversations_open(users=CUSTOMER)["channel"]["id"]
    sent = client.chat_postMessage(channel=CUSTOMER, text="a direct one")
    check.equal("direct messages", sent["channel"], direct)
    listed = world.call("slack-channels")
    ours = [c["id"] for c in listed["response"]["channels"]]
    check("the gateway lists the same", made in ours and "C0RANDOM01" in ours, listed)


def every(method, name, **arguments):
    """All rows of a list, as the library pages through it."""
    return [row for page in method(**arguments) for row in page[name]]


def people(world, check, client):
    members = every(client.users_list, "members", limit=2)
    ids = [member["id"] for member in members]
    check("members, page by page", CUSTOMER in ids and "USLACKBOT" in ids, ids)
    agent = client.users_info(user=AGENT)["user"]
    check.equal("by mail", client.users_lookupByEmail(email=agent["profile"]["email"])["user"], agent)
    check.equal("presence", client.users_getPresence(user=AGENT)["presence"], "active")
    ours = world.call("slack-users")["response"]["slack_users"]
    check("the gateway names people only", {"id": AGENT, "name": "Alex Smith"} in ours, ours)
    check.equal("presence by the gateway", world.call("slack-presence", agent_id=AGENT)["response"], "online")


def believed(world, check, hooks):
    """What a webhook says, believed by library and gateway."""
    secret = world.settings(KIND)["signing_secret"]
    said = []
    for hook in hooks:
        verifier = SignatureVerifier(secret)
        check("the library believes it", verifier.is_valid_request(hook.body, hook.headers))
        check.equal("the gateway takes it", hook.answer, 200)
        if hook.headers["content-type"].startswith("application/json"):
            said.append(json.loads(hook.body)["event"])
        else:
            said.append(json.loads(urllib.parse.parse_qs(hook.body.decode())["payload"][0]))
    return said


def customers(world, check, client):
    told = believed(world, check, world.act(KIND, do="say", text="Grüße 👍🏽 & <b>"))
    # Slack tells of our own messages as well, and of those perhaps only now.
    said = [event for event in told if "bot_id" not in event and "text" in event]
    check.equal("escaped as Slack does", said[0]["text"], "Grüße 👍🏽 &amp; &lt;b&gt;")
    history = client.conversations_history(channel=said[0]["channel"])
    check.equal("it stands in the history", history["messages"][0]["ts"], said[0]["ts"])
    choices = [{"title": "Blue", "payload": "colour=blue"}]
    arguments = {"channel": world.id(KIND), "to": CUSTOMER, "message": "Which?"}
    sent = world.call(
        "messaging-platforms-send-message", **arguments, quick_replies=choices, wait=10
    )
    check("the gateway sends", sent.get("status") in SENT, sent)
    told = believed(world, check, world.act(KIND, do="press", button="Blue"))
    pressed = [said["actions"][0]["value"] for said in told if "actions" in said]
    check.equal("what was pressed", pressed, ["colour=blue"])
    mark = client.conversations_history(channel=said[0]["channel"], include_all_metadata=True)
    ours = mark["messages"][0]["metadata"]
    check.equal("the gateway's mark", ours["event_type"], "gateway_message")
    believed(world, check, world.act(KIND, do="edit", text="changed"))
    believed(world, check, world.act(KIND, do="react", emoji="👍"))
    file = {"name": "plan.pdf", "mime": "application/pdf", "content": "one two"}
    told = believed(world, check, world.act(KIND, do="say", text="", attachment=file))
    names = [f["name"] for said in told for f in said.get("files", [])]
    check.equal("a file", names, ["plan.pdf"])


def says(error):
    """Whether Slack's answer names this error."""
    return lambda raised: raised.response["error"] == error


def errors(world, check, client):
    place = channel(world)
    for name, error, arguments in (
        ("no channel", "channel_not_found", {"channel": "C0NOWHERE1", "text": "x"}),
        ("no text", "no_text", {"channel": place, "text": " "}),
        ("no thread", "message_not_found", {"channel": place, "text": "x", "thread_ts": "1.2"}),
        ("a name", "channel_not_found", {"channel": "#support", "text": "x"}),
    ):
        with check.refused(name, SlackApiError, says(error)):
            client.chat_postMessage(**arguments)
    wrong = WebClient(token="xoxb-wrong", base_url=world.api_base(KIND) + "/")
    with check.refused("a wrong token", SlackApiError, says("invalid_auth")):
        wrong.auth_test()
    with check.refused("nobody", SlackApiError, says("user_not_found")):
        client.users_info(user="U0NOBODY")
