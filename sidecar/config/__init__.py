"""The configuration: one YAML file, read strictly, into the frozen settings of the other layers.

``loader.load`` is the way in. A file goes through three kinds of rules, and whatever they find is
reported together: YAML (``document``), shape (pydantic, in the words of ``schema``), and the rules
between values. ``sections`` has a module for each section of the file, with its shape, its rules
and the settings it leads to; what a section cannot tell alone is a rule of ``rules``, and what the
files tell that it names is in ``key_files``. ``sections.gateway`` is imported for a gateway alone.
"""

from sidecar.config.configuration import Configuration
from sidecar.config.document import MAXIMUM_BYTES
from sidecar.config.key_files import KeyFiles
from sidecar.config.loader import load

__all__ = ["MAXIMUM_BYTES", "Configuration", "KeyFiles", "load"]
