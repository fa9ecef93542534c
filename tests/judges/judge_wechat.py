"""wechatpy: signatures and ciphers in both directions, our fixtures, its client on the emulator."""

import io
import time
import urllib.parse

from wechatpy import WeChatClient
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidSignatureException, WeChatClientException
from wechatpy.messages import UnknownMessage
from wechatpy.parser import parse_message
from wechatpy.utils import check_signature

import fixtures
from checks import wait_for
from world import SENT

KIND = "wechat"
# The library compares no times; we refuse requests that were signed long ago.
OLD = ("hostile-old",)
# Fixtures in JSON, which the library does not read, and what it has no name for.
NOT_READ = ("json-", "hostile-")


def judge(world, check):
    settings = world.settings(KIND)
    crypto = WeChatCrypto(settings["token"], settings["encoding_aes_key"], settings["app_id"])
    signatures(check, settings)
    the_fixtures(check, settings, crypto)
    for part in (our_emulator, our_gateway, its_client):
        with check.step(part.__name__):
            part(world, check, settings, crypto)


def query_of(target):
    """The parameters of a URL, each once."""
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query))


def signed(token, target):
    """Whether the library believes a URL."""
    query = query_of(target)
    names = ("signature", "timestamp", "nonce")
    try:
        check_signature(token, *(query.get(name, "") for name in names))
    except InvalidSignatureException:
        return False
    return True


def decrypted(crypto, target, body):
    """What a body says, in plain text."""
    query = query_of(target)
    if query.get("encrypt_type") != "aes":
        return body.decode()
    names = ("msg_signature", "timestamp", "nonce")
    return crypto.decrypt_message(body, *(query[name] for name in names))


def signatures(check, settings):
    """The library believes what we believe; what it does not, we do not."""
    agreed = [0, 0]
    for fixture in fixtures.inbound(KIND):
        believed = signed(settings["token"], fixture.target)
        ours = not fixture.rejected and fixture.expected.get("handshake", {}).get("status") != 403
        # Encrypted messages have a second signature, which is judged with their content.
        second = "encrypt_type" in query_of(fixture.target)
        if fixture.name in OLD or (second and not ours):
            continue
        check(f"{fixture.name}: we believe only what the library does", believed or not ours)
        agreed[ours] += 1
    check("fixtures of both sorts were judged", min(agreed) > 2, agreed)


def the_fixtures(check, settings, crypto):
    """The library decrypts and reads what we read, to the same text."""
    read = 0
    for fixture in fixtures.inbound(KIND):
        if not fixture.accepted or fixture.method != "POST" or fixture.name.startswith(NOT_READ):
            continue
        with check.step(f"{fixture.name} is read"):
            theirs = parse_message(decrypted(crypto, fixture.target, fixture.body))
            same(check, fixture, theirs)
            read += 1
    check("fixtures were read", read > 20, read)


def same(check, fixture, theirs):
    """What we and the library read is the same."""
    events = fixture.expected["events"]
    if isinstance(theirs, UnknownMessage) or not events:
        return
    name, event = fixture.name, events[0]
    body = event["body"]
    if "sender" in event:
        check.equal(f"{name}: by whom", event["sender"]["ids"][0], theirs.source)
    if body["type"] != "message" or theirs.type == "event":
        return
    check.equal(f"{name}: the number", body["platform_id"], str(theirs.id))
    if theirs.type == "text" and not body.get("structured"):
        # The library's reader of XML drops blanks at both ends.
        check.equal(f"{name}: the text", body["text"].strip(), theirs.content)
    if theirs.type == "location":
        place = (body["location"]["latitude"], body["location"]["longitude"])
        check.equal(f"{name}: the place", place, tuple(float(n) for n in theirs.location))
    if theirs.type in ("image", "voice", "video", "shortvideo"):
        check.equal(f"{name}: a file", len(body.get("attachments", [])), 1)


def our_emulator(world, check, settings, crypto):
    """The library believes and reads what our emulator posts, and the gateway takes it."""
    said = "Grüße 你好 👍🏽 ]]> & <b>"
    hooks = world.act(KIND, do="say", text=said)
    check("one webhook is posted", len(hooks) == 1, len(hooks))
    for hook in hooks:
        check("the library believes it", signed(settings["token"], hook.path), hook.path)
        check.equal("the gateway takes it", hook.answer, 200)
        message = parse_message(decrypted(crypto, hook.path, hook.body))
        check.equal("what was said", message.content, said)
    arguments = {"channel": world.id(KIND), "to": message.source, "message": "from the gateway"}
    answer = world.call("messaging-platforms-send-message", **arguments, wait=10)
    check("the gateway sends", answer.get("status") in SENT, answer)
    texts = lambda: [line["text"] for line in world.phone(KIND)]
    wait_for("the message on the phone", lambda: "from the gateway" in texts())


def our_gateway(world, check, settings, crypto):
    """The gateway believes what the library signs and encrypts, and nothing else."""
    path = f"/webhooks/{world.id(KIND)}"
    plain = (
        "<xml><ToUserName><![CDATA[{to}]]></ToUserName><FromUserName><![CDATA[oJudge0001]]>"
        "</FromUserName><CreateTime>{at}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        "<Content><![CDATA[加密 ü]]></Content><MsgId>{id}</MsgId></xml>"
    )
    stamp, nonce = str(int(time.time())), "judge"

    def post(message_crypto, number):
        xml = plain.format(to=settings["original_id"], at=stamp, id=number)
        sealed = message_crypto.encrypt_message(xml, nonce, stamp)
        parts = {}
        for name in ("Encrypt", "MsgSignature"):
            parts[name] = sealed.split(f"<{name}><![CDATA[")[1].split("]]>")[0]
        body = (
            f"<xml><ToUserName><![CDATA[{settings['original_id']}]]></ToUserName>"
            f"<Encrypt><![CDATA[{parts['Encrypt']}]]></Encrypt></xml>"
        )
        query = {
            "signature": signature(settings["token"]),
            "timestamp": stamp,
            "nonce": nonce,
            "encrypt_type": "aes",
            "msg_signature": parts["MsgSignature"],
        }
        target = f"{path}?{urllib.parse.urlencode(query)}"
        return world.post(target, {"content-type": "text/xml"}, body.encode())[0]

    def signature(token):
        from wechatpy.utils import WeChatSigner

        signer = WeChatSigner()
        signer.add_data(token, stamp, nonce)
        return signer.signature

    check.equal("an encrypted message is taken", post(crypto, 7700000000000001), 200)
    key, app = settings["encoding_aes_key"], settings["app_id"]
    for name, other in (
        ("another token", WeChatCrypto("another", key, app)),
        ("another key", WeChatCrypto(settings["token"], key[::-1], app)),
        ("another app", WeChatCrypto(settings["token"], key, "wx0000000000000000")),
    ):
        found = post(other, 7700000000000002)
        check(f"{name} is not believed", found in (400, 401), found)
    for token, expected in ((settings["token"], 200), ("another", 403)):
        query = {"signature": signature(token), "timestamp": stamp, "nonce": nonce}
        query["echostr"] = "5566778899"
        target = f"{path}?{urllib.parse.urlencode(query)}"
        status, _, body = world.post(target, {}, None, "GET")
        check.equal(f"a handshake with {token}", status, expected)
        if expected == 200:
            check.equal("its echo", body, b"5566778899")


def its_client(world, check, settings, crypto):
    """The library's client talks to our emulator as to WeChat."""

    class Pointed(WeChatClient):
        API_BASE_URL = f"{world.api_base(KIND)}/cgi-bin/"

    world.act(KIND, do="say", text="hello")
    customer = world.phone(KIND)[-1]["customer"]
    client = Pointed(settings["app_id"], settings["app_secret"])
    # The library fetches its token from WeChat's own host: this one is fetched as it would.
    query = {"grant_type": "client_credential", "appid": settings["app_id"]}
    query["secret"] = settings["app_secret"]
    answer = client._http.get(f"{world.api_base(KIND)}/cgi-bin/token", params=query).json()
    lasts = answer.get("expires_in", 0)
    check("a token is given for up to two hours", 0 < lasts <= 7200, lasts)
    client.session.set(client.access_token_key, answer["access_token"])
    client.expires_at = int(time.time()) + lasts
    for name, call in (
        ("a text", lambda: client.message.send_text(customer, "你好 👍🏽")),
        ("who it is", lambda: client.user.get(customer)),
    ):
        with check.step(name):
            call()
    texts = [line["text"] for line in world.phone(KIND)]
    check("the text stands on the phone", "你好 👍🏽" in texts, texts)
    kept = client.media.upload("image", ("blue.png", io.BytesIO(b"\x89PNG\r\n\x1a\n"), "image/png"))
    check.equal("a file is kept", kept["type"], "image")
    client.message.send_image(customer, kept["media_id"])
    got = client.media.download(kept["media_id"])
    check.equal("its bytes", got.content, b"\x89PNG\r\n\x1a\n")
    for name, code, call in (
        ("a stranger", 40003, lambda: client.message.send_text("nobody", "x")),
        ("an unknown file", 40007, lambda: client.message.send_image(customer, "none")),
    ):
        with check.refused(name, WeChatClientException, lambda e: e.errcode == code):
            call()
