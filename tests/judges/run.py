"""Runs the judges. Ends with `N passed, N failed`; 1 when something failed or nothing was checked.

A judge of a kind is a file judge_<kind>.py (`_` for `-`) with a function `judge(world, check)`.
"""

import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import traceback

from checks import Checks
from world import World

# Judges that belong to no kind.
OF_THE_SERVICE = ("compose", "events", "smtp")

# Kinds without a judge, and why. A kind that is neither judged nor listed here fails the run, and so
# does one that is both.
WITHOUT_A_JUDGE = {
}


def kinds_of(binary):
    """The kinds that are built in."""
    listed = subprocess.run([binary, "channels", "--json"], check=True, capture_output=True)
    return [entry["kind"] for entry in json.loads(listed.stdout)]


def judges():
    """The judges that there are, by name."""
    here = pathlib.Path(__file__).parent
    names = (path.stem.removeprefix("judge_") for path in sorted(here.glob("judge_*.py")))
    return {name.replace("_", "-"): f"judge_{name}" for name in names}


def who_is_judged(check, built_in, found, only):
    """Which judges are called; what is not judged is said, or fails."""
    called = []
    for name in found:
        if name in OF_THE_SERVICE or name in built_in:
            called.append(name)
        else:
            print(f"NOT JUDGED {name}: this kind is not built in")
    for kind in built_in:
        reason = WITHOUT_A_JUDGE.get(kind)
        if kind not in found and reason is not None:
            print(f"NOT JUDGED {kind}: {reason}")
        check(f"{kind} has either a judge or a reason", (kind in found) != (reason is not None))
    for name in only:
        check(f"there is a judge called {name}", name in called)
    return [name for name in called if not only or name in only]


def main(binary, *only):
    """Calls the judges, one after the other, in one world."""
    check = Checks()
    built_in = kinds_of(binary)
    found = judges()
    called = who_is_judged(check, built_in, found, only)
    with tempfile.TemporaryDirectory(prefix="switchboard-judges-") as scratch:
        with World(binary, built_in, scratch) as world:
            for name in called:
                check.judge = name
                before = check.passed + check.failed
                try:
                    importlib.import_module(found[name]).judge(world, check)
                except Exception:
                    check("runs to its end", False, traceback.format_exc())
                checked = check.passed + check.failed - before
                check("checks something", checked > 0)
                print(f"{name}: {checked} checked", flush=True)
        if check.failed:
            print("--- what the processes said last ---")
            # What was refused on purpose says nothing.
            lines = [l for l in world.log().splitlines() if 'result="rejected"' not in l]
            print("\n".join(lines[-40:]))
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed or not called else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
