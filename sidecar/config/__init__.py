"""The configuration: one YAML file, read strictly, into the frozen settings of the other layers.

Start at ``loader.load``. A file is checked in three ways, and the problems are reported together:
YAML (``document``), shape (pydantic, with the messages of ``schema``), and rules between values.
``sections`` has a module for each section of the file, with its shape, its rules and its settings.
Rules that concern several sections use ``rules``; the files that a configuration names are checked
by ``key_files``. ``sections.gateway`` is imported only for a gateway.
"""

from sidecar.config.configuration import Configuration
from sidecar.config.document import MAXIMUM_BYTES
from sidecar.config.key_files import KeyFiles
from sidecar.config.loader import load

__all__ = ["MAXIMUM_BYTES", "Configuration", "KeyFiles", "load"]
