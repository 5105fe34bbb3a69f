"""An HTML page for tests: parsed from its text, or as a browser shows it after its script has run."""

import html.parser
import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium")
VOID = {"wbr", "meta", "link", "img", "br", "hr", "input"}


class Page(html.parser.HTMLParser):
    """A parsed page.

    Attributes:
        elements: (tag, attributes) of each element, in the order of the page.
        open: tags that are not closed at the end.
        unbalanced: (tag, position) of each end tag that does not match.
        text: the visible text, with single spaces.
    """

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.unbalanced: list[tuple] = []
        self._pieces: list[str] = []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self._pieces).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append((tag, self.getpos()))

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self._pieces.append(data)

    def having(self, name: str) -> list[dict]:
        """The attributes of each element that has the attribute `name`."""
        return [attributes for _, attributes in self.elements if name in attributes]


def dump(address: str, profile: Path) -> Page:
    """The page at `address` after its script has run, in a Chromium without network requests of its own.

    Args:
        address: URL of the page.
        profile: a folder for the browser's profile.
    """
    options = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
    command = [CHROMIUM, *(f"--{option}" for option in options.split()), "--disable-sync", f"--user-data-dir={profile}"]
    return Page(subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True).stdout)
