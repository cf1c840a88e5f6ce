"""Add pages of the repository that lie outside of `docs/` to the site, and adapt links to them.

Links are written for the repository, where all of them work; the site moves `docs/` to its root
and shows `README.md` as its first page.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
ADDED = (
    "README.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "experiments/README.md",
    "experiments/results/*",
    "benchmarks/*.md",
    "notebooks/*.ipynb",
)
_LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files of `ADDED`."""
    for pattern in ADDED:
        for path in sorted(ROOT.glob(pattern)):
            added = File.generated(config, _on_site(str(path.relative_to(ROOT))), abs_src_path=path)
            files.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the relative links of a page from places in the repository to places on the site."""
    assert page.file.abs_src_path is not None
    source = Path(page.file.abs_src_path).relative_to(ROOT)
    here = os.path.dirname(page.file.src_uri)

    def rewritten(link: re.Match[str]) -> str:
        target = os.path.normpath(source.parent / link[2])
        return f"{link[1]}{os.path.relpath(_on_site(target), here or '.')}{link[3] or ''}"

    return _LINK.sub(rewritten, markdown)


def _on_site(path: str) -> str:
    """Return the place on the site of a file of the repository."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
