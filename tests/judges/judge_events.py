"""standardwebhooks: believes the events that the gateway posts to both receivers."""

import json

from standardwebhooks import Webhook, WebhookVerificationError

from checks import wait_for
from world import PLAIN_KEY, PUBLIC_URL, SENT, WHSEC_KEY

KIND = "telegram"
# One inbound message of a new contact, and one answer: what must have been told then.
EXPECTED = {"new-conversation-created", "message-sent", "new-messages", "message-status-updated"}


def judge(world, check):
    customer = "5550007007"
    world.act(KIND, do="say", **{"from": customer}, name="Ada Ünal", text="Hallo 👍🏽 & \"quotes\" \\")
    sent = world.call("telegram-send-message", chat_id=customer, message="Guten Tag ü", wait=10)
    check("the answer is sent", sent.get("status") in SENT, sent)
    plain = Webhook(PLAIN_KEY.encode())
    whsec = Webhook(WHSEC_KEY)
    seen = {}
    for name, key, verifier, stranger in (
        ("plain", PLAIN_KEY, plain, whsec),
        ("whsec", WHSEC_KEY, whsec, plain),
    ):
        with check.step(f"{name}: all events come"):
            come = lambda: EXPECTED <= {json.loads(e.body)["function"] for e in told(world, name)}
            wait_for("the events", come)
        seen[name] = told(world, name)
        for event in seen[name]:
            believed(check, name, key, verifier, stranger, event)
        ids = [event.headers["webhook-id"] for event in seen[name]]
        check.equal(f"{name}: each id once", len(set(ids)), len(ids))
        functions = [json.loads(event.body)["function"] for event in seen[name]]
        in_order = functions.index("new-conversation-created") < functions.index("message-sent")
        check(f"{name}: the conversation before its message", in_order, functions)
    ids = [{event.headers["webhook-id"] for event in events} for events in seen.values()]
    check("both receivers hear of the same events", ids[0] & ids[1], ids)


def told(world, name):
    """What a receiver was told, by this time."""
    return world.events.to(f"/{name}")


def believed(check, name, key, verifier, stranger, event):
    """The library believes this event, and no other bytes, key, time or id."""
    with check.step(f"{name}: the library believes an event"):
        payload = verifier.verify(event.body, event.headers)
        check.equal(f"{name}: it has its key", payload["key"], key)
        check.equal(f"{name}: it has its sender", payload["sender-url"], PUBLIC_URL)
        check(f"{name}: it has data", isinstance(payload["data"], dict), payload)
    later = str(int(event.headers["webhook-timestamp"]) + 1)
    for what, judge_, body, headers in (
        ("another key", stranger, event.body, event.headers),
        ("another body", verifier, event.body + b" ", event.headers),
        ("another time", verifier, event.body, event.headers | {"webhook-timestamp": later}),
        ("another id", verifier, event.body, event.headers | {"webhook-id": "evt_0"}),
    ):
        with check.refused(f"{name}: {what}", WebhookVerificationError):
            judge_.verify(body, headers)
