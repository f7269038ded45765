"""The configuration: one YAML file, read strictly, into the frozen settings of the other layers.

``loader.load`` is the way in. A file goes through three kinds of rules, and whatever they find is
reported together: YAML (``document``), shape (``models``, told by ``schema``), and the rules
between values (``semantics``, ``key_files``). What a gateway has besides is in ``gateway``, which
is imported for a gateway alone.
"""

from sidecar.config.build import Configuration
from sidecar.config.document import MAXIMUM_BYTES
from sidecar.config.key_files import KeyFiles
from sidecar.config.loader import load

__all__ = ["MAXIMUM_BYTES", "Configuration", "KeyFiles", "load"]
