"""Prepare a million short pairs with malicious ones among them; measure time and memory."""

import resource
import time
from functools import partial
from typing import Any

from en2py.data.cleaning import clean
from en2py.data.cleaning.limits import limit_lengths, must_parse
from en2py.data.duplicates import fingerprint
from en2py.data.pairs import DataReport, Pair
from en2py.data.parallel import ProcessPool
from en2py.data.splits import group_split

HOSTILE = (
    "x = '" + "a" * 10**6 + "'",  # a line of 1 MB
    "x = " + "(" * 10**6,
    "[" * 5_000 + "]" * 5_000,
    "x = " + "-" * 10**6 + "1",
    "x" + ".a" * 10**6,
    "x = " + "1+" * 10**6 + "1",
    "f'" + "{f'" * 500 + "'}" * 500 + "'",
    "".join(map(chr, range(32))) * 10_000,
    "x = '\ud800\udfff'",
    "x = " + "9" * 10**6,
    "'\"" * 10**5,
)


SHORT = partial(limit_lengths, min_description=1, max_description=None, min_code=1, max_code=1_000)


def measure(quick: bool = False) -> dict[str, Any]:
    """Return the outcome of the malicious pairs, the uncounted pairs, time and memory."""
    n = 10_000 if quick else 1_000_000
    pairs = [
        Pair(
            f"m/{i}", f"task {i} of {i % 997}", f"def f{i}(a, b{i % 89}):\n    return a + {i}", "m"
        )
        for i in range(n)
    ]
    pairs += [Pair(f"h/{i}", "hostile", code, "m") for i, code in enumerate(HOSTILE)]
    report, began = DataReport(), time.perf_counter()
    longest: dict[str, float] = {}

    def lap(stage: str) -> None:
        longest[stage] = round(time.perf_counter() - began, 1)

    with ProcessPool(2, 10) as pool:
        kept = clean(pairs, {"parses": must_parse, "long": SHORT}, report, pool=pool)
        lap("cleaned")
        prints = list(pool.map(fingerprint, kept))
        lap("compared")
    splits = group_split(kept, report, prints, ratios=[0.7, 0.15, 0.15], seed=1)
    lap("split")
    left = len(splits.train) + len(splits.val) + len(splits.test)
    dropped = sum(step.dropped for step in report.steps.values())
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    record = {
        "pairs": len(pairs),
        "left": left,
        "dropped": dropped,
        "uncounted": len(pairs) - left - dropped,
        "hostile": {i: w for i, w in report.dropped_ids.items() if i.startswith("h/")},
        "seconds": longest,
        "cpu_seconds": round(sum(r.ru_utime + r.ru_stime for r in used), 1),
        "peak_mb": used[0].ru_maxrss // 1024,
        "peak_mb_of_a_worker": used[1].ru_maxrss // 1024,
    }
    assert record["uncounted"] == 0, record
    return record
