"""The world of a run: the gateway, the emulators, and what goes between them.

The gateway and the emulators are two processes of the same binary with the same configuration. The
emulators believe that the gateway listens where the recorder listens, so that every webhook of an
emulated platform can be looked at, exactly as it was posted, before it goes on to the gateway. Each
channel is the account of its kind's fixtures, which are therefore signed for it.

    judge -> emulators -> recorder -> gateway -> emulators
                                        \\-> receiver of events
"""

import base64
import http.client
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import fixtures
from checks import wait_for

PUBLIC_URL = "https://gw.example.net"
# A send is answered with how far it has come by then: statuses may have been quick.
SENT = ("sent", "delivered", "read")
TOKEN = "a-token-for-the-judges"
# Two keys of the two forms that a receiver can have: any text, whose bytes sign, and base64.
PLAIN_KEY = "any text: it signs as it is, ümlauts too"
WHSEC_KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Recorded:
    """A request, as it arrived."""

    def __init__(self, method, path, headers, body):
        self.method = method
        self.path = path
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body
        self.answer = None

    @property
    def url(self):
        """The URL that the sender was told."""
        return PUBLIC_URL + self.path


class Recorder:
    """Listens on a port of this machine, keeps what comes, and answers through `reply`."""

    def __init__(self, reply):
        self.requests = []
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                request = Recorded(self.command, self.path, self.headers.items(), body)
                status, headers, content = reply(request)
                request.answer = status
                recorder.requests.append(request)
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = serve

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def to(self, prefix):
        """What came to paths that begin so."""
        return [request for request in list(self.requests) if request.path.startswith(prefix)]


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def toml(value):
    """A value as TOML: JSON, but for tables."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {toml(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class World:
    """The processes, started; a context manager that ends them."""

    def __init__(self, binary, kinds, scratch):
        self.binary = str(pathlib.Path(binary).resolve())
        self.scratch = pathlib.Path(scratch)
        self.setups = {kind: fixtures.setup(kind) for kind in kinds}
        self.recorder = Recorder(self._forward)
        self.events = Recorder(lambda _: (200, [], b""))
        self.gateway_port = free_port()
        self.emulators_port = free_port()
        self.processes = []

    def id(self, kind):
        """The channel of a kind."""
        return self.setups[kind]["id"]

    def settings(self, kind):
        """The keys of the channel of a kind."""
        return self.setups[kind]["settings"]

    def api_base(self, kind):
        """Where the emulated platform is."""
        return f"http://127.0.0.1:{self.emulators_port}/{self.id(kind)}"

    def configuration(self):
        """The file that both processes read."""
        lines = [
            "[server]",
            f'listen = "127.0.0.1:{self.gateway_port}"',
            f"public_url = {toml(PUBLIC_URL)}",
            "[api]",
            f"tokens = [{toml(TOKEN)}]",
            "[sandbox]",
            f'listen = "127.0.0.1:{self.emulators_port}"',
        ]
        for name, key in (("plain", PLAIN_KEY), ("whsec", WHSEC_KEY)):
            url = f"http://127.0.0.1:{self.events.port}/{name}"
            lines += ["[[webhooks]]", f"id = {toml(name)}", f"url = {toml(url)}"]
            lines.append(f"key = {toml(key)}")
        for kind, setup in self.setups.items():
            lines += ["[[channels]]", f"id = {toml(setup['id'])}", f"kind = {toml(kind)}"]
            lines.append(f"api_base = {toml(self.api_base(kind))}")
            lines += [f"{key} = {toml(value)}" for key, value in setup["settings"].items()]
        return "\n".join(lines) + "\n"

    def __enter__(self):
        config = self.scratch / "switchboard.toml"
        config.write_text(self.configuration())
        recorder = f"127.0.0.1:{self.recorder.port}"
        emulators = {"SANDBOX__ENABLED": "true", "SERVER__LISTEN": recorder}
        try:
            self._start(["sandbox"], config, emulators)
            self._start(["serve"], config, {"SANDBOX__ENABLED": "false"})
            wait_for("the emulators", lambda: self._answers(self.emulators_port, "/"))
            wait_for("the gateway", lambda: self._answers(self.gateway_port, "/readyz"))
        except Exception:
            self.__exit__()
            print(self.log(), flush=True)
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()

    def log(self):
        """What the processes said."""
        return "".join(path.read_text() for path in sorted(self.scratch.glob("*.log")))

    def _start(self, arguments, config, overrides):
        # Nothing of the caller's environment may change what is judged.
        ours = {k: v for k, v in os.environ.items() if not k.startswith("SWITCHBOARD_")}
        ours |= {f"SWITCHBOARD__{name}": value for name, value in overrides.items()}
        with open(self.scratch / f"{arguments[0]}.log", "wb") as log:
            command = [self.binary, *arguments, "--config", str(config)]
            process = subprocess.Popen(
                command, cwd=self.scratch, env=ours, stdout=log, stderr=subprocess.STDOUT
            )
        self.processes.append(process)

    def _answers(self, port, path):
        for process in self.processes:
            if process.poll() is not None:
                raise RuntimeError(f"the binary ended with {process.returncode}")
        try:
            url = f"http://127.0.0.1:{port}{path}"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _forward(self, request):
        return self.post(request.path, request.headers, request.body, request.method)

    def post(self, path, headers, body, method="POST"):
        """Asks the gateway; gives status, headers and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway_port, timeout=30)
        try:
            drop = ("host", "content-length", "connection", "transfer-encoding")
            kept = {name: value for name, value in headers.items() if name.lower() not in drop}
            connection.request(method, path, body=body, headers=kept)
            answer = connection.getresponse()
            content = answer.read()
            named = [("content-type", answer.headers["content-type"] or "text/plain")]
            return answer.status, named, content
        finally:
            connection.close()

    def call(self, function, **arguments):
        """Calls a function of the Web API; gives its whole answer."""
        body = json.dumps({"token": TOKEN, "function": function, **arguments}).encode()
        _, _, content = self.post("/api", {"content-type": "application/json"}, body)
        return json.loads(content)

    def act(self, kind, **action):
        """Lets the emulated customer do something; gives the webhooks that followed."""
        before = len(self.recorder.to(f"/webhooks/{self.id(kind)}"))
        self._sandbox(kind, "act", action)
        return self.recorder.to(f"/webhooks/{self.id(kind)}")[before:]

    def phone(self, kind):
        """What stands on the emulated phones."""
        return self._sandbox(kind, "phone")

    def _sandbox(self, kind, what, body=None):
        url = f"http://127.0.0.1:{self.emulators_port}/sandbox/{self.id(kind)}/{what}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{url}: {error.code} {error.read()!r}") from None
