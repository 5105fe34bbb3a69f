"""Fingerprints: what counts as another code, and how far a file reaches."""

import pytest

from pofxy.study import catalog, fingerprint, source

FILES = {
    "a.py": "from pofxy import b\ndef f():\n    from pofxy.rooms.c import thing",
    "b.py": '"""What b is."""\nimport json\nx = 1  # one',
    "rooms/__init__.py": "",
    "rooms/c.py": "import pofxy.d\nfrom pofxy.tracking import sender\nthing = 1",
    "d.py": "from pofxy import a",
    "e.py": "import pofxy.a",
    "tracking/sender.py": "import pofxy.e",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package, whose files may be edited."""
    package = tmp_path / "pofxy"
    for name, text in FILES.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(source, "PACKAGE", package)
    return package


def forget():
    for cached in (fingerprint.fingerprint, fingerprint.code_digest, source.tree, source.imports):
        cached.cache_clear()


def of_a(package):
    forget()
    found = fingerprint.fingerprint(package / "a.py")
    forget()
    return found


def test_the_closure_follows_imports_wherever_they_stand(package):
    names = [path.relative_to(package).as_posix() for path in fingerprint.closure(package / "a.py")]
    assert names == ["a.py", "b.py", "d.py", "rooms/__init__.py", "rooms/c.py"], "what is sent to MLflow is no part of a result"
    every = [path.relative_to(package).as_posix() for path in fingerprint.closure(package / "a.py", without=())]
    assert every == ["a.py", "b.py", "d.py", "e.py", "rooms/__init__.py", "rooms/c.py", "tracking/sender.py"]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('"""Another text."""\nimport json\nx = 1  # one', True),
        ("import json\n\n# A comment.\nx   =   1", True),
        ('"""What b is."""\nimport json\nx = 2  # one', False),
        ('"""What b is."""\nimport json\nx = "1"', False),
    ],
)
def test_comments_docstrings_and_layout_do_not_count_and_code_does(package, text, same):
    before = of_a(package)
    (package / "b.py").write_text(text)
    assert (of_a(package) == before) == same


def test_tracking_is_in_no_fingerprint(package):
    before = of_a(package)
    (package / "tracking/sender.py").write_text("changed = True")
    (package / "e.py").write_text("changed = True")
    assert of_a(package) == before


def test_what_the_report_shows_is_the_modules_docstring(package):
    path = package / "b.py"
    before = fingerprint.shown_text(path)
    for text, same in ((FILES["b.py"] + "\ny = 2", True), ('"""More."""', False)):
        path.write_text(text)
        forget()
        assert (fingerprint.shown_text(path) == before) == same
    forget()


def test_a_model_reaches_no_other_model_and_no_report():
    names = {str(path.relative_to(source.PACKAGE)) for path in fingerprint.closure(catalog.models()["vae"].path)}
    assert {"models/generative/vae.py", "training/trainer.py", "base/tags.py", "storage/files.py"} <= names
    assert not {name for name in names if name.split("/")[0] in ("report", "tracking", "workflow", "study", "evaluation")}
    assert [name for name in names if name.startswith("models/")] == ["models/generative/vae.py"]
