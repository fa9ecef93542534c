"""Counts what holds and what does not."""

import contextlib
import time
import traceback


class Checks:
    """Each check has a name, and is printed only when it fails."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.judge = ""

    def __call__(self, name, holds, detail=""):
        """Counts one check; `detail` says what was found instead."""
        if holds:
            self.passed += 1
            return
        self.failed += 1
        shown = f": {detail}" if detail != "" else ""
        print(f"FAILED {self.judge}: {name}{shown}", flush=True)

    def equal(self, name, found, expected):
        """Counts whether two things are the same."""
        self(name, found == expected, f"found {found!r}, expected {expected!r}")

    @contextlib.contextmanager
    def step(self, name):
        """Counts whether a block runs to its end: an exception fails this step and no other."""
        try:
            yield
        except Exception as error:  # the library may raise whatever it likes
            where = traceback.extract_tb(error.__traceback__)[-1]
            detail = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
            self(name, False, detail)
        else:
            self(name, True)

    @contextlib.contextmanager
    def refused(self, name, kind, matches=lambda error: True):
        """Counts whether a block raises this exception, of which `matches` holds."""
        try:
            yield
        except kind as error:
            self(name, matches(error), f"{type(error).__name__}: {error}")
        except Exception as error:
            self(name, False, f"{type(error).__name__}: {error}")
        else:
            self(name, False, "nothing was refused")


def wait_for(what, condition, seconds=10):
    """Returns what `condition` returns once that is true; raises after so long."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.05)
