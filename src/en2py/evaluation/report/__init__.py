"""HTML and Markdown reports of a comparison, made only from its `Results`."""

from pathlib import Path

from en2py.data.files import write_atomically
from en2py.evaluation.report.html import report_html
from en2py.evaluation.report.markdown import report_markdown
from en2py.evaluation.report.sections import draw_pictures, sections
from en2py.evaluation.report.summary import summarize
from en2py.evaluation.results import Results


def write_report(folder: Path, results: Results, name: str = "report") -> None:
    """Write `report.html`, which needs no other file and no network, `report.md` and `pictures/`.

    Equal results produce equal bytes.

    Args:
        folder: Of the files.
        results: Of the comparison.
        name: Of the two pages.
    """
    pictures = draw_pictures(results)
    parts = results.title, summarize(results), sections(results, pictures)
    texts = {f"{name}.html": report_html(*parts), f"{name}.md": report_markdown(*parts)}
    for kind, drawn in pictures.items():
        for what, svg in drawn.items():
            words = what.replace("/", "-").split()
            texts[f"pictures/{'-'.join([kind, *words])}.svg"] = svg
        for old in (folder / "pictures").glob(f"{kind}-*.svg"):  # not files of the user
            if f"pictures/{old.name}" not in texts:
                old.unlink()  # of rows or settings that no longer exist
    for path, text in texts.items():
        write_atomically(folder / path, text.encode("utf-8", "backslashreplace"))
