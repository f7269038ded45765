"""Faults: what is wrong with the surroundings, never with a request.

A request that may not pass is a verdict (``sidecar.model.Deny``), not an exception. This module
imports nothing, so that every layer can raise what it defines.
"""


class Fault(Exception):  # noqa: N818 - faults, as opposed to verdicts; every subclass says so
    """The root of everything this program raises on purpose. Its text is for a person."""


class ConfigurationFault(Fault):
    """The configuration cannot be used. The text has file, line and what would be right."""


class SourceFault(Fault):
    """A source of keys could not be read, or gave something that is not a usable key set."""


class ListenFault(Fault):
    """An address cannot be listened on."""
