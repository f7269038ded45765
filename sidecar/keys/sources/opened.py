"""From settings to a source. A source's module is imported only when it is configured."""

from sidecar.keys.settings import FileKeys, SourceSettings
from sidecar.keys.sources import KeySource


def open_source(settings: SourceSettings) -> KeySource:
    """The source these settings describe. Nothing is read yet."""
    match settings:
        case FileKeys(path):
            from sidecar.keys.sources.file import FileSource  # noqa: PLC0415 - imported when used

            return FileSource(path)
        case _:
            raise NotImplementedError
