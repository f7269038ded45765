"""A Secret or ConfigMap as the kubelet mounts it, and as it replaces it: all files at once."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Final

_VERSIONS: Final = count()


def mount(directory: Path, files: Mapping[str, bytes]) -> None:
    """Put new files in the place of those that are there."""
    version = directory / f"..version_{next(_VERSIONS)}"
    version.mkdir()
    for name, content in files.items():
        (version / name).write_bytes(content)
        (version / name).chmod(0o440)
    turn(directory, version)


def turn(directory: Path, version: Path) -> None:
    """Turn the link ``..data`` to a folder in ``directory``, which is one rename(2)."""
    old = (directory / "..data").resolve() if (directory / "..data").is_symlink() else None
    link = directory / "..data_tmp"
    link.symlink_to(version.name)
    link.replace(directory / "..data")
    for file in version.iterdir():
        if not (directory / file.name).is_symlink():
            (directory / file.name).symlink_to(Path("..data") / file.name)
    if old is not None:
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
