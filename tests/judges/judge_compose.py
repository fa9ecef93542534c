"""Docker's own compose client: reads docker-compose.yml, and what it reads fits our other files.

There is no engine behind it: nothing is built or started.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).parents[2]
CLIENT = pathlib.Path(sys.prefix) / "bin" / "docker-compose"
# What .env must hold; the file refuses to do without any of them.
SECRETS = {
    "PUBLIC_URL": "https://gateway.example.com",
    "API_TOKEN": "sha256:" + "9d" * 32,
    "POSTGRES_PASSWORD": "example",
    "BACKEND_URL": "https://chat.example.com/hooks",
    "BACKEND_KEY": "example",
    "TELEGRAM_BOT_TOKEN": "example",
    "TELEGRAM_WEBHOOK_SECRET": "example",
    "TWILIO_ACCOUNT_SID": "example",
    "TWILIO_AUTH_TOKEN": "example",
    "TWILIO_FROM": "+12025550100",
}


def read(environment):
    """Lets the client read the file."""
    command = [CLIENT, "--file", ROOT / "docker-compose.yml", "config", "--format", "json"]
    variables = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=variables)


def judge(world, check):
    done = read(SECRETS)
    check.equal("the client reads the file", (done.returncode, done.stderr), (0, ""))
    services = json.loads(done.stdout)["services"]
    for name in SECRETS:
        without = {key: value for key, value in SECRETS.items() if key != name}
        check(f"without {name} it says so", name in read(without).stderr)

    text = (ROOT / "config/compose.toml").read_text()
    config = tomllib.loads(text)
    wanted = set(re.findall(r'"env:([A-Z_]+)"', text))
    gateways = {name: s for name, s in services.items() if s.get("image") == "switchboard"}
    roles = {name: role_of(service) for name, service in gateways.items()}
    check.equal("every role runs", set(roles.values()), {"api", "worker", "piping"})
    apis = sorted(name for name, role in roles.items() if role == "api")
    check("two api processes", len(apis) >= 2, apis)
    for name, service in gateways.items():
        check.equal(f"{name} has what the configuration reads", wanted - set(service["environment"]), set())
        mounts = {mount["target"]: mount for mount in service["volumes"]}
        check(f"{name} has its configuration", "/etc/switchboard/switchboard.toml" in mounts)
        media = config["media"]["url"].removeprefix("file:")
        check.equal(f"{name} shares attachments", mounts.get(media, {}).get("source"), "media")
        check(f"{name} is asked by the binary itself", "health" in service["healthcheck"]["test"])
        grace = seconds(service["stop_grace_period"])
        check(f"{name} may drain", grace > config["server"]["drain_seconds"], grace)
    spools = [volume_at(gateways[name], config["spool"]["path"]) for name in apis]
    check.equal("each api process has a spool of its own", len(set(spools) - {None}), len(apis))
    busy = [name for name, service in gateways.items() if "--channels" in service["command"]]
    ids = {channel["id"] for channel in config["channels"]}
    for name in busy:
        command = gateways[name]["command"]
        named = set(command[command.index("--channels") + 1].split(","))
        check(f"{name} works channels that there are", named <= ids, named)
    every = [n for n, role in roles.items() if role == "worker" and n not in busy]
    check("a worker takes every lane, those of events too", every)

    redis = services["redis"]["command"]
    check.equal("Redis appends", redis[redis.index("--appendonly") + 1], "yes")
    check.equal("Redis evicts nothing", redis[redis.index("--maxmemory-policy") + 1], "noeviction")
    check.equal("the world reaches the proxy alone", [n for n, s in services.items() if s.get("ports")], ["proxy"])
    nginx = (ROOT / "config/nginx.conf").read_text()
    upstreams = re.findall(r"server ([a-z0-9-]+):8080", nginx)
    check.equal("nginx knows the api processes", sorted(set(upstreams)), apis)
    volumes = {mount["source"] for s in services.values() for mount in s.get("volumes", []) if mount["type"] == "volume"}
    check.equal("every volume is used", set(json.loads(done.stdout)["volumes"]) - volumes, set())


def role_of(service):
    command = service["command"]
    return command[command.index("--role") + 1]


def volume_at(service, path):
    return next((m["source"] for m in service["volumes"] if m["target"] == path), None)


def seconds(text):
    """`1m30s` in seconds."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(n) * units[u] for n, u in re.findall(r"(\d+)([hms])", text))
