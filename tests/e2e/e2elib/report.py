# SPDX-License-Identifier: GPL-2.0-or-later
"""Results: one TAP line per case as it ends, totals at the end, JUnit XML on request."""

import threading
import time
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr


class Skip(Exception):
    """The case cannot run here; the text says why."""


class Failed(Exception):
    """A check did not hold; the text says what was seen and what was expected."""


class Stalled(Failed):
    """Something did not go on; why, may be seen in the machines while they are there."""


def expect(condition, text):
    """Raise Failed with `text` unless `condition` holds."""
    if not condition:
        raise Failed(text)


@dataclass
class Result:
    name: str
    status: str          # "pass", "fail" or "skip"
    seconds: float
    repeats: int = 0     # how often the lab fell over and the case was run again
    reason: str = ""
    detail: str = ""


class Report:
    """Collects results from several threads and prints them in order of arrival."""

    def __init__(self, planned):
        self.results = []
        self.planned = planned
        self.start = time.monotonic()
        self._lock = threading.Lock()
        print(f"TAP version 13\n1..{planned}", flush=True)

    def note(self, text):
        """Print a line that is no result."""
        with self._lock:
            print("\n".join(f"# {line}" for line in text.splitlines()), flush=True)

    def add(self, result):
        """Record and print a result."""
        result.reason = " ".join(result.reason.split())
        with self._lock:
            self.results.append(result)
            line = "ok" if result.status != "fail" else "not ok"
            line += f" {len(self.results)} - {result.name}"
            if result.status == "skip":
                line += f" # SKIP {result.reason}"
            else:
                line += f" # {result.seconds:.1f} s"
                if result.repeats:
                    line += f", repeated {result.repeats}x because the lab fell over"
                if result.reason:
                    line += f": {result.reason}"
            print(line, flush=True)
            for text in result.detail.splitlines():
                print(f"#   {text}")

    def count(self, status):
        return sum(r.status == status for r in self.results)

    def finish(self):
        """Print the totals; return the exit status."""
        print(f"# {time.monotonic() - self.start:.0f} s")
        print(f"{self.count('pass')} passed, {self.count('fail')} failed, {self.count('skip')} skipped",
              flush=True)
        return 1 if self.count("fail") or len(self.results) != self.planned else 0

    def write_junit(self, path):
        """Write the results as JUnit XML."""
        with open(path, "w", encoding="utf-8") as out:
            out.write(f'<testsuite name="e2e" tests="{len(self.results)}" failures="{self.count("fail")}" '
                      f'skipped="{self.count("skip")}">\n')
            for r in self.results:
                suite, _, name = r.name.rpartition("/")
                out.write(f'<testcase classname={quoteattr(suite)} name={quoteattr(name)} '
                          f'time="{r.seconds:.1f}">')
                if r.status == "fail":
                    out.write(f"<failure message={quoteattr(r.reason)}/>")
                elif r.status == "skip":
                    out.write(f"<skipped message={quoteattr(r.reason)}/>")
                out.write("</testcase>\n")
            out.write("</testsuite>\n")
