"""What mkdocs is told beside mkdocs.yml: pages outside of docs/, and links out of it.

The files of the repository stay where readers of the repository look for them, and link to each
other there. Here those in `PAGES` become pages too, and a link to one of them leads to its page. A
link to another file of the repository, which the site does not hold, becomes its path in words;
one to nothing stays as it is, so that the strict build fails on it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Files of the repository, and what they are called in the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "benchmarks/README.md": "benchmarks.md",
}
ASSETS = {
    "docs/site/iframe-worker.js": "assets/iframe-worker.js",
    "stream/gateway/static/icon.svg": "assets/icon.svg",
}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.M | re.S)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages of a folder in place of a folder of the navigation, its README first."""

    def filled(entry: Any) -> Any:
        if isinstance(entry, list):
            return [filled(one) for one in entry]
        if isinstance(entry, dict):
            return {title: filled(one) for title, one in entry.items()}
        if not entry.endswith("/"):
            return entry
        names = sorted(path.name for path in (ROOT / "docs" / entry).glob("*.md"))
        return [entry + name for name in sorted(names, key=lambda name: name != "README.md")]

    config.nav = filled(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what stands outside of docs/."""
    from mkdocs.structure.files import File

    for source, name in {**PAGES, **ASSETS}.items():
        path = ROOT / source
        content = path.read_text() if name.endswith(".md") else path.read_bytes()
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mends the links of a page."""
    own = {name: source for source, name in PAGES.items()}
    source = own.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    pages = {**{f"docs/{file.src_uri}": file.src_uri for file in files}, **PAGES}

    def mended(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        path, hash_sign, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match.group()
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        for name in (place, f"{place}/README.md"):
            if name in pages:
                start = posixpath.dirname(page.file.src_uri) or "."
                way = posixpath.relpath(pages[name], start)
                return f"{picture}[{words}]({way}{hash_sign}{anchor})"
        if not (ROOT / place).exists():
            return match.group()
        return f"{words} (`{place}`)" if words.strip("`") != place else f"`{place}`"

    parts, end = [], 0
    for code in _CODE.finditer(markdown):
        parts += [_LINK.sub(mended, markdown[end : code.start()]), code.group()]
        end = code.end()
    return "".join([*parts, _LINK.sub(mended, markdown[end:])])
