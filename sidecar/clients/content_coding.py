"""The content coding of an HTTP answer (RFC 9110 §8.4): none, or gzip (RFC 1952).

No coding is asked for. Some servers and content delivery networks send gzip even so. It is unpacked
part by part as it arrives, and no further than an answer may be long. zlib releases the
interpreter's lock meanwhile.
"""

import zlib
from collections.abc import Iterable
from typing import Final

from sidecar.errors import SourceFault

_GZIP: Final = frozenset({"gzip", "x-gzip"})  # RFC 9110 §8.4.1.3: the two are equal
_GZIP_ONLY: Final = 16 + zlib.MAX_WBITS  # zlib's sign for a gzip header and trailer
_MAGIC: Final = b"\x1f\x8b"
_LONGEST_NAME: Final = 40


class Plain:
    """An answer without a content coding."""

    def read(self, part: bytes, most: int) -> bytes:
        """The part as it came. ``most`` is not needed: what is read is no longer than the part."""
        del most
        return part

    def end(self) -> None:
        """Nothing: HTTP says whether the answer is complete."""


class Gzip:
    """An answer in one member of gzip. RFC 1952 §2.2 allows several, which no server sends."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_ONLY)
        self._begun = False

    def read(self, part: bytes, most: int) -> bytes:
        """The next bytes of the answer, at most ``most`` (1 or more); the rest is lost.

        Raises:
            SourceFault: it is not gzip, or something follows its end.
        """
        self._begun = True
        try:
            found = self._member.decompress(part, most)
        except zlib.error as fault:
            raise SourceFault("says that its answer is gzip, and it is not, or damaged") from fault
        if self._member.unused_data:
            raise SourceFault("sent something after the end of its gzip data")
        return found

    def end(self) -> None:
        """Raises SourceFault if the end is missing. An answer without a body has none."""
        if self._begun and not self._member.eof:
            raise SourceFault("sent gzip data that ends too early")


def reader(headers: Iterable[str]) -> Plain | Gzip:
    """The reader for an answer with these ``Content-Encoding`` headers.

    Raises:
        SourceFault: another coding, or several.
    """
    names = [name.strip().lower() for line in headers for name in line.split(",")]
    codings = [name for name in names if name not in {"", "identity"}]
    if not codings:
        return Plain()
    if len(codings) == 1 and codings[0] in _GZIP:
        return Gzip()
    named = ", ".join(codings)[:_LONGEST_NAME]
    raise SourceFault(
        f"sent its answer packed as {named!r}, which was not asked for; only gzip, once, is "
        "unpacked"
    )


def refuse_packed(body: bytes | bytearray) -> None:
    """Raise SourceFault for gzip data: no document that is fetched begins like it."""
    if body.startswith(_MAGIC):
        raise SourceFault(
            "sent gzip data where a document was expected: it is packed twice, or its "
            "Content-Encoding does not say gzip"
        )
