"""The fixtures of a kind, as the Rust tests read them."""

import json
import pathlib
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Fixture:
    """One inbound request, byte for byte, and what is expected of it."""

    def __init__(self, path, origin):
        self.name = path.stem
        head, _, body = _split(path.read_bytes())
        first, *lines = head.decode().split("\n")
        self.method, self.target, _ = first.rstrip("\r").split(" ")
        pairs = (line.rstrip("\r").split(":", 1) for line in lines)
        self.headers = {name.strip().lower(): value.strip() for name, value in pairs}
        self.body = body.removesuffix(b"\n")
        self.url = origin + self.target
        self.expected = json.loads(path.with_suffix(".json").read_text())

    @property
    def accepted(self):
        """Whether we say that the platform sent it, and can read it."""
        return "events" in self.expected

    @property
    def rejected(self):
        """Whether we say that the platform did not send it."""
        return "rejected" in self.expected

    @property
    def event_types(self):
        """The types of the events that we read from it."""
        return [event["body"]["type"] for event in self.expected.get("events", [])]


def _split(raw):
    for blank in (b"\r\n\r\n", b"\n\n"):
        head, found, body = raw.partition(blank)
        if found:
            return head, found, body
    raise ValueError("no blank line after the headers")


def folder(kind):
    """Where a kind keeps its fixtures."""
    return ROOT / "channels" / "src" / kind.replace("-", "_") / "fixtures"


def setup(kind):
    """The account that the fixtures belong to."""
    return json.loads((folder(kind) / "settings.json").read_text())


def inbound(kind):
    """Every inbound fixture of a kind."""
    webhook = urllib.parse.urlsplit(setup(kind)["webhook_url"])
    origin = f"{webhook.scheme}://{webhook.netloc}"
    paths = sorted((folder(kind) / "inbound").glob("*.http"))
    return [Fixture(path, origin) for path in paths]
