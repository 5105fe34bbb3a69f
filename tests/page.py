"""An HTML page as a test sees it: from its text, or as a browser shows it after its script has run."""

import html.parser
import shutil
import subprocess

CHROMIUM = shutil.which("chromium")
VOID = {"wbr", "meta", "link", "img", "br", "hr", "input"}


class Page(html.parser.HTMLParser):
    """What a test asks of a page: its elements, its visible text, and whether each element that was opened is closed."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.open, self.text, self.unbalanced = [], [], [], []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.text).split())

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
            self.text.append(data)

    def having(self, name: str) -> list[dict]:
        return [attributes for _, attributes in self.elements if name in attributes]


def dump(address: str, profile) -> Page:
    """The page at `address` after its script has run, in a Chromium that asks the network for nothing."""
    options = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
    command = [CHROMIUM, *(f"--{option}" for option in options.split()), "--disable-sync", f"--user-data-dir={profile}"]
    return Page(subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True).stdout)
