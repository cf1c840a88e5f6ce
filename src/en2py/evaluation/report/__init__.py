"""Pages and pictures that tell what a comparison found, made from its `Results` alone."""

from pathlib import Path

from en2py.data.files import write_atomically
from en2py.evaluation.report.sections import pictures, report_html, report_markdown
from en2py.evaluation.report.svg import standalone
from en2py.evaluation.results import Results


def write_report(folder: Path, results: Results, name: str = "report") -> None:
    """Write `report.html`, which needs no other file and no network, `report.md` and `pictures/`.

    The same results give the same bytes.

    Args:
        folder: Where to.
        results: What to tell.
        name: Of the two pages.
    """
    texts = {f"{name}.html": report_html(results), f"{name}.md": report_markdown(results)}
    drawn = pictures(results)
    for kind in ("dots", "effects"):  # the names of the curves' colours stand on the page
        for what, figure in drawn[kind].items():
            words = what.replace("/", "-").split()
            texts[f"pictures/{'-'.join([kind, *words])}.svg"] = standalone(figure)
        for old in (folder / "pictures").glob(f"{kind}-*.svg"):  # other files are not ours
            if f"pictures/{old.name}" not in texts:
                old.unlink()  # of rows or axes that are no more
    for path, text in texts.items():
        write_atomically(folder / path, text.encode("utf-8", "backslashreplace"))
