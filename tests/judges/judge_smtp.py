"""aiosmtpd: takes what our SMTP client says, over STARTTLS, over TLS and with both logins."""

import email
import email.policy
import json
import logging
import os
import pathlib
import ssl
import subprocess
import urllib.request
import warnings

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, SMTP

from checks import wait_for
from world import TOKEN, free_port, toml

CERTS = pathlib.Path(__file__).parent.parent / "support" / "certs"
USER, PASSWORD = b"support@example.net", "päss \"word\" %".encode()
TEXT = ".\n..\n.hidden\nÅäö 👋🏽 =?not-a-word?=\n" + "x" * 3000 + "\n.\nend"


# The library warns of what is tried here on purpose.
logging.getLogger("mail.log").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="aiosmtpd")


class Mails:
    """Keeps what was taken."""

    def __init__(self):
        self.taken = []

    async def handle_DATA(self, server, session, envelope):
        self.taken.append((session, envelope))
        return "250 2.0.0 queued"


def login(server, session, envelope, mechanism, data):
    """Believes one user."""
    good = data.login == USER and data.password == PASSWORD
    session.mechanism = mechanism
    return AuthResult(success=good, handled=good)


def tls():
    """The test servers' certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTS / "server.pem", CERTS / "server.key")
    return context


class Implicit(Controller):
    """TLS from the first byte; the library counts STARTTLS alone as protection."""

    def factory(self):
        return SMTP(self.handler, auth_require_tls=False, **self.SMTP_kwargs)


def servers(mails):
    """One server for each way in."""
    common = {"hostname": "127.0.0.1", "authenticator": login, "auth_required": True}
    yield "smtp+starttls", Controller(
        mails, port=free_port(), tls_context=tls(), require_starttls=True, **common
    )
    yield "smtps", Implicit(mails, port=free_port(), ssl_context=tls(), **common)
    yield "smtp+starttls", Controller(
        mails,
        port=free_port(),
        tls_context=tls(),
        require_starttls=True,
        auth_exclude_mechanism=["PLAIN"],
        **common,
    )


def judge(world, check):
    for number, (scheme, server) in enumerate(servers(Mails())):
        name = f"{scheme} {number}"
        server.start()
        try:
            with check.step(name):
                talk(world, check, name, scheme, server)
        finally:
            server.stop()


def talk(world, check, name, scheme, server):
    """Starts a gateway that sends through this server, and has it send."""
    folder = world.scratch / f"smtp-{server.port}"
    folder.mkdir()
    port = free_port()
    quote = urllib.request.quote
    user, password = quote(USER, safe=""), quote(PASSWORD, safe="")
    settings = {
        "id": "mail",
        "kind": "email",
        "address": USER.decode(),
        "name": "Support Ünit",
        "smtp_url": f"{scheme}://{user}:{password}@localhost:{server.port}",
    }
    lines = [
        "[server]",
        f'listen = "127.0.0.1:{port}"',
        "[api]",
        f"tokens = [{toml(TOKEN)}]",
        "[mail]",
        f"trusted_ca = {toml('file:' + str((CERTS / 'ca.pem').resolve()))}",
        "[sandbox]",
        "enabled = false",
        "[[channels]]",
        *(f"{key} = {toml(value)}" for key, value in settings.items()),
    ]
    config = folder / "switchboard.toml"
    config.write_text("\n".join(lines) + "\n")
    ours = {k: v for k, v in os.environ.items() if not k.startswith("SWITCHBOARD_")}
    with open(world.scratch / f"smtp-{server.port}.log", "wb") as log:
        command = [world.binary, "serve", "--config", str(config)]
        gateway = subprocess.Popen(
            command, cwd=folder, env=ours, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for("the gateway", lambda: ready(gateway, port))
        send(check, name, port, server.handler)
    finally:
        gateway.terminate()
        gateway.wait(timeout=40)


def ready(gateway, port):
    if gateway.poll() is not None:
        raise RuntimeError(f"the binary ended with {gateway.returncode}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def send(check, name, port, mails):
    """Two mails, the second over the connection of the first."""
    before = len(mails.taken)
    for subject in ("Ärende 1", "Ärende 2"):
        body = {
            "function": "send-custom-email",
            "to": "kund@example.org",
            "subject": subject,
            "message": TEXT,
            "wait": 20,
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api",
            json.dumps(body).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.load(answer)
        check(f"{name}: {subject} is sent", said["response"] is True, said)
    taken = mails.taken[before:]
    check.equal(f"{name}: each mail once", len(taken), 2)
    for session, envelope in taken:
        check.equal(f"{name}: to whom", envelope.rcpt_tos, ["kund@example.org"])
        check(f"{name}: logged in", session.authenticated)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        check.equal(f"{name}: no defects", mail.defects, [])
        text = mail.get_body(("plain",)).get_content().replace("\r\n", "\n").rstrip("\n")
        check.equal(f"{name}: the text, dots and all", text, TEXT)
    check(f"{name}: one connection", taken[0][0] is taken[1][0])
