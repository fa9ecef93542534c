"""Python's email package: reads what we write and what we read, and comes to the same."""

import email
import email.policy
import html
import json
import re

import fixtures
from world import SENT

KIND = "email"
POLICY = email.policy.default
# What a strict reader may not be able to say anything about: bytes that break the rules it goes by.
ODD = (
    "hostile-broken-base64",
    "hostile-broken-qp",
    "hostile-header-injection",
    "hostile-nul",
    "hostile-no-from",
)


def judge(world, check):
    for part in (read_fixtures, written_fixtures):
        with check.step(part.__name__):
            part(check)
    for part in (conversation, files_and_names, nothing_over_http):
        with check.step(part.__name__):
            part(world, check)


def parsed(raw):
    """A mail as the library reads it."""
    return email.message_from_bytes(raw, policy=POLICY)


def crlf(raw):
    """A fixture as a server hands it out."""
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def squeezed(text):
    """A text without its white space, invisible characters and quote marks."""
    return re.sub(r"[\s>\u200b\ufeff\u200e]+", "", text)


def texts(mail):
    """Everything in a mail that is text and no attachment, as the library decodes it."""
    found = []
    for part in mail.walk():
        if part.get_content_maintype() != "text" or part.is_attachment():
            continue
        try:
            text = part.get_content()
        except (LookupError, UnicodeError):
            text = part.get_payload(decode=True).decode("latin-1")
        if part.get_content_subtype() == "html":
            text = re.sub(r"(?s)<(style|script|title)\b.*?</\1>", "", text)
            text = re.sub(r'<a\b[^>]*href="([^"]*)"[^>]*>(.*?)</a>', r"\2 (\1)", text)
            text = text.replace("<li>", "- ")
            text = re.sub(r"(?s)<!--.*?-->|<[^>]*>", "", text)
            text = html.unescape(text)
        found.append(text)
    return found


def ids(value):
    """The ids of a header."""
    return re.findall(r"<([^<>\s]+)>", value or "")


def read_fixtures(check):
    """What we read from every mail is what the library reads."""
    paths = sorted((fixtures.folder(KIND) / "inbound").glob("*.eml"))
    check("there are sixty mails or more", len(paths) >= 60, len(paths))
    messages = files = 0
    for path in paths:
        expected = json.loads(path.with_suffix(".json").read_text())
        mail = parsed(crlf(path.read_bytes()))
        for event in expected.get("events", []):
            if event["body"]["type"] != "message" or path.stem in ODD:
                continue
            messages += 1
            files += read_message(check, path.stem, mail, event)
    check("messages were compared", messages >= 60, messages)
    check("attachments were compared", files >= 10, files)


def read_message(check, name, mail, event):
    body, thread = event["body"], event["thread"]
    facts = dict(body.get("facts", []))
    own_id = ids(mail["Message-ID"])
    if own_id:
        check.equal(f"{name}: id", body["platform_id"], own_id[0])
    senders = [a.addr_spec.lower() for h in ("From", "Reply-To", "To") for a in addresses(mail, h)]
    check(f"{name}: sender", event["sender"]["email"] in senders, event["sender"]["email"])
    subject = " ".join(str(mail["Subject"] or "").split())
    check.equal(f"{name}: subject", facts.get("subject", ""), subject)
    check(f"{name}: title", thread.get("title", "") in subject, thread.get("title"))
    check.equal(f"{name}: references", facts.get("references", "").split(), ids(mail["References"]))
    answers = ids(mail["In-Reply-To"])
    check.equal(f"{name}: answers", body.get("reply_to"), answers[0] if answers else None)
    for header in ("to", "cc"):
        listed = [a.addr_spec.lower() for a in addresses(mail, header) if a.addr_spec]
        ours = [a for a in facts.get(header, "").split(", ") if a]
        check.equal(f"{name}: {header}", ours, listed)
    shown = squeezed(body.get("text", ""))
    there = [squeezed(text) for text in texts(mail)]
    # Parts that follow each other are one text to us.
    there += ["".join(there), squeezed(subject)]
    if name == "charset-none-latin1":
        there.append(squeezed(mail.get_payload(decode=True).decode("latin-1")))
    check(f"{name}: text", any(shown in text for text in there), body.get("text"))
    original = facts.get("original")
    if original:
        check(f"{name}: the whole text has the shown one", len(squeezed(original)) > len(shown))
    return attachments(check, name, mail, body)


def addresses(mail, header):
    """The addresses of a header, as the library reads them."""
    found = []
    for value in mail.get_all(header, []):
        found.extend(getattr(value, "addresses", ()))
    return found


def attachments(check, name, mail, body):
    """Each attachment of ours is a part of the library's, of the same name, type and size."""
    parts = []
    for part in mail.walk():
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            continue
        if part.get_content_type() == "message/rfc822":
            size = len(part.get_payload(0).as_bytes(policy=POLICY.clone(linesep="\r\n")))
        else:
            size = len(part.get_payload(decode=True) or b"")
        base = re.split(r"[/\\]", part.get_filename() or "")[-1].lstrip(".")
        parts.append((base, part.get_content_type(), size))
    for attachment in body.get("attachments", []):
        ours = (attachment["name"], attachment["mime"], attachment["size_bytes"])
        # A part without a name has one of ours; a last line end may be the boundary's.
        same = [
            p
            for p in parts
            if p[1] == ours[1] and abs(p[2] - ours[2]) <= 2 and p[0] in (ours[0], "")
        ]
        check(f"{name}: {ours[0]}", same != [], f"{ours} is not in {parts}")
    return len(body.get("attachments", []))


def written_fixtures(check):
    """What we write is a mail without a fault, and says what it was to say."""
    count = 0
    folder = fixtures.folder(KIND) / "outbound"
    for path in sorted(folder.glob("*.parts.json")):
        expected = json.loads(path.read_text())
        name = path.name.removesuffix(".parts.json")
        wanted = json.loads((folder / f"{name}.json").read_text())
        for part in expected.get("parts", []):
            for request in part["requests"]:
                count += 1
                raw = request["body"]["raw"].encode()
                written(check, name, raw, wanted)
    check("mails were read", count >= 10, count)


def written(check, name, raw, wanted):
    """One mail of ours."""
    check(f"{name}: line ends", b"\n" not in raw.replace(b"\r\n", b""))
    check(f"{name}: line lengths", max(map(len, raw.split(b"\r\n"))) <= 998)
    head = raw.partition(b"\r\n\r\n")[0]
    check(f"{name}: ASCII in the header", head.isascii())
    mail = parsed(raw)
    for part in mail.walk():
        check.equal(f"{name}: defects of {part.get_content_type()}", part.defects, [])
    for header in ("From", "To", "Date", "Message-ID", "Subject", "MIME-Version"):
        check.equal(f"{name}: {header} once", len(mail.get_all(header, [])), 1)
    check(f"{name}: no Bcc", mail["Bcc"] is None)
    check(f"{name}: a date", mail["Date"].datetime is not None)
    check(f"{name}: Message-ID", re.fullmatch(r"<sb\.\d+\.\d+\.[0-9a-f]+@[a-z0-9.-]+>", mail["Message-ID"]))
    to = [a.addr_spec for a in mail["To"].addresses]
    check.equal(f"{name}: to", ", ".join(to), wanted["to"])
    if "reply_to" in wanted:
        check.equal(f"{name}: In-Reply-To", ids(mail["In-Reply-To"]), [wanted["reply_to"]])
        check.equal(f"{name}: References", ids(mail["References"])[-1:], [wanted["reply_to"]])
    plain = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
    check(f"{name}: text", plain.startswith(wanted.get("text", "")), repr(plain))
    html_part = mail.get_body(("html",))
    check(f"{name}: an HTML alternative", html_part is not None)
    if html_part is not None:
        shown = squeezed(html.unescape(re.sub(r"<[^>]*>", "", html_part.get_content())))
        check(f"{name}: HTML says the same", squeezed(wanted.get("text", "")) in shown, shown)
    files = [a[0] for a in wanted.get("attachments", [])]
    files = [f"{c['name']}.vcf" for c in wanted.get("contacts", [])] + files
    found = list(mail.iter_attachments())
    check.equal(f"{name}: files", [part.get_filename() for part in found], files)
    for part in found:
        content = part.get_payload(decode=True)
        if part.get_content_type() == "text/vcard":
            check(f"{name}: card", content.startswith(b"BEGIN:VCARD\r\n"), content)
        else:
            check.equal(f"{name}: bytes of {part.get_filename()}", content, b"the content")


def said(world, text, **more):
    """Lets the customer write; gives the mail as it was posted, and the conversation that it is in."""
    hooks = world.act(KIND, do="say", text=text, **more)
    mail = parsed(hooks[-1].body)
    return mail, hooks[-1]


def sent_mails(world):
    """The mails that reached the emulator, read by the library."""
    requests = world._sandbox(KIND, "requests")
    bodies = [r["body"] for r in requests if r["path"].endswith("/submit")]
    return [parsed(body.encode()) for body in bodies]


def conversation(world, check):
    """A thread to and fro, as the library sees it."""
    text = "Guten Tag, wo ist mein Päckchen? 📦"
    mail, hook = said(world, text, **{"from": "joerg@kunde.example", "name": "Jörg Müller"})
    check.equal("the webhook is taken", hook.answer, 200)
    user = world.call("search-users", search="kunde.example")["response"][0]
    check.equal("the contact's name", (user["first_name"], user["last_name"]), ("Jörg", "Müller"))
    conversations = world.call("get-user-conversations", user_id=user["id"])["response"]
    check.equal("one conversation", len(conversations), 1)
    number = conversations[0]["conversation_id"]
    answer = world.call(
        "messaging-platforms-send-message", conversation_id=number, message="Unterwegs, morgen früh! 🚚"
    )
    check("the answer is sent", answer.get("status") in SENT, answer)
    reply = sent_mails(world)[-1]
    check.equal("In-Reply-To", ids(reply["In-Reply-To"]), ids(mail["Message-ID"]))
    check.equal("References", ids(reply["References"]), ids(mail["Message-ID"]))
    check.equal("Subject", str(reply["Subject"]), f"Re: {mail['Subject']}")
    check.equal("Message-ID", ids(reply["Message-ID"]), answer_ids(world, answer))
    reply_to = reply["Reply-To"].addresses[0].addr_spec
    check("the reply address carries a token", re.fullmatch(r"support\+[a-z2-7]{26}@example\.net", reply_to), reply_to)
    check("no mark of a machine", reply["Auto-Submitted"] is None)
    # The customer's program answers with everything quoted; what is read is what was written.
    second, _ = said(world, "Danke!", **{"from": "joerg@kunde.example", "name": "Jörg Müller"})
    check.equal("the customer's references", ids(second["In-Reply-To"]), ids(reply["Message-ID"]))
    check("the customer quotes", "> Unterwegs" in second.get_body(("plain",)).get_content())
    messages = world.call("get-conversation", conversation_id=number)["response"]["messages"]
    check.equal("what was written", messages[-1]["message"], "Danke!")
    again = world.call("messaging-platforms-send-message", conversation_id=number, message="Gern.")
    check("the second answer is sent", again.get("status") in SENT, again)
    third = sent_mails(world)[-1]
    chain = ids(second["References"]) + ids(second["Message-ID"])
    check.equal("the chain grows", ids(third["References"]), chain)
    check.equal("Re: once", str(third["Subject"]), f"Re: {mail['Subject']}")


def answer_ids(world, answer):
    """The platform's ids of a message."""
    message = world.call("get-message", message_id=answer["message_id"])["response"]
    return [i for part in message["parts"] for i in part["platform_ids"]]


def files_and_names(world, check):
    """A customer's file comes in whole, under its name."""
    attachment = {"name": "Räkning.txt", "mime": "text/plain", "content": "summa: 100 kr\n"}
    mail, hook = said(world, "se bilagan", attachment=attachment)
    check.equal("the webhook is taken", hook.answer, 200)
    part = next(mail.iter_attachments())
    check.equal("the bytes", part.get_payload(decode=True), attachment["content"].encode())


def nothing_over_http(world, check):
    """Nobody puts a mail into the mailbox by posting it."""
    mail = b"From: eve@evil.example\r\nTo: support@example.net\r\nSubject: x\r\nMessage-ID: <e@e>\r\n\r\nx"
    path = f"/webhooks/{world.id(KIND)}"
    for headers in ({}, {"x-switchboard-signature": "0" * 64}, {"content-type": "message/rfc822"}):
        status, _, _ = world.post(path, headers, mail)
        check.equal(f"refused with {sorted(headers)}", status, 401)
