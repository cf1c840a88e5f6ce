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

    Each picture is an SVG, a PDF and a PNG file. Equal results produce equal bytes. The two pages
    may have another name.
    """
    pictures = draw_pictures(results)
    parts = results.title, summarize(results), sections(results, pictures)
    for ending, text in (("html", report_html(*parts)), ("md", report_markdown(*parts))):
        content = text.encode("utf-8", "backslashreplace")
        write_atomically(folder / f"{name}.{ending}", content)
    for kind, drawn in pictures.items():
        names = {"-".join([kind, *what.replace("/", "-").split()]): what for what in drawn}
        for old in (folder / "pictures").glob(f"{kind}-*.*"):  # not files of the user
            if old.stem not in names:
                old.unlink()  # of rows or settings that no longer exist
        for stem, what in names.items():
            drawn[what].write(folder / "pictures" / stem)
