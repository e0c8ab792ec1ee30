"""Files that are either the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["atomic_write"]


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> None:
    r"""Write `data` to `path` so that a reader, or a crash, never meets a part of it.

    The bytes go to a temporary file in the same folder, reach the disk (``fsync``), and take
    the name in one step (``os.replace``); the folder is then synced as well. When anything
    fails, `path` is as it was and the temporary file is gone.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write or replace. A symbolic link is followed.
    data : bytes or str
        The whole content; a `str` is written as UTF-8.

    Raises
    ------
    OSError
        When the folder is missing or cannot be written, or the disk is full.

    Examples
    --------
    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> atomic_write(os.path.join(folder, "note.txt"), "one\n")
    >>> os.listdir(folder)
    ['note.txt']
    """
    target = Path(os.path.realpath(path))
    payload = data.encode() if isinstance(data, str) else data
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    # Mode 0o666 under the umask, as open() gives it: a private temporary file would leave a
    # model that colleagues cannot read.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename last; some file systems refuse to sync a folder, and then there is no way."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
