"""Downloads published files from torchvision's mirrors, with its checksums, or copies those that the user offers."""

import shutil
import socket
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from pofxy.data.datasets import DownloadError
from pofxy.data.torchvision_compat import import_torchvision
from pofxy.storage.files import atomic

# Seconds without an answer before the next mirror is tried: torchvision itself waits forever.
TIMEOUT = 30


def fetch(files: list[tuple[str, str]], mirrors: list[str], folder: Path, offered: Path) -> None:
    """Puts every file into `folder` and checks its MD5.

    Args:
        files: (name, published MD5).
        mirrors: URLs of folders, each with a slash at its end, tried in this order for each file.
        folder: where the files go.
        offered: a folder that may hold some of them already.

    Raises:
        DownloadError: for an offered file with another checksum, or a file that is not offered and cannot be downloaded.
    """
    missing = []
    for name, md5 in files:
        if (offered / name).is_file():
            _copy_offered(offered / name, md5, folder)
        else:
            missing.append((name, md5))
    for name, md5 in missing:
        if reasons := _download(name, md5, mirrors, folder):
            cause = "; ".join(reasons)
            wanted = ", ".join(other for other, _ in missing)
            raise DownloadError(f"{offered.name}: cannot download {name} ({cause}); put {wanted} into {offered}/ and run again")


def _copy_offered(file: Path, md5: str, folder: Path) -> None:
    import_torchvision()
    from torchvision.datasets.utils import calculate_md5

    if (actual := calculate_md5(file)) != md5:
        raise DownloadError(f"{file}: its MD5 is {actual}, that of the published file {md5}; replace the file or remove it")
    with atomic(folder / file.name) as temporary:
        shutil.copyfile(file, temporary)


def _download(name: str, md5: str, mirrors: list[str], folder: Path) -> list[str]:
    """Downloads one file. Returns [] on success, else the reason why each mirror failed."""
    import_torchvision()
    from torchvision.datasets.utils import download_url

    reasons = []
    timeout_before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        for mirror in mirrors:
            try:
                with atomic(folder / name) as temporary:
                    download_url(mirror + name, temporary.parent, temporary.name, md5)
                return []
            except (OSError, HTTPException, RuntimeError) as error:  # no answer, a broken answer, or a wrong checksum
                reasons.append(f"{urlsplit(mirror).netloc}: {getattr(error, 'reason', error)}")
    finally:
        socket.setdefaulttimeout(timeout_before)
    return reasons
