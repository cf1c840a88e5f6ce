"""Pages that tell what a comparison found, made from its `Results` alone."""

from pathlib import Path

from en2py.data.cache import write_atomically
from en2py.evaluation.report.contents import report_html, report_markdown
from en2py.evaluation.results import Results


def write_report(folder: Path, results: Results) -> None:
    """Write `report.html`, which needs no other file and no network, and `report.md`.

    The same results give the same bytes.
    """
    for name, text in (
        ("report.html", report_html(results)),
        ("report.md", report_markdown(results)),
    ):
        write_atomically(folder / name, text.encode("utf-8", "backslashreplace"))
