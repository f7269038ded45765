"""Faults: exceptions about the configuration, files, servers and addresses, never about a request.

A request that is refused is a verdict (``sidecar.model.Deny``), not an exception. This module
imports nothing, so that every layer can raise these exceptions.
"""


class Fault(Exception):  # noqa: N818 - faults, as opposed to verdicts; every subclass says so
    """The base of this program's exceptions that are not bugs. The text is for operators."""


class ConfigurationFault(Fault):
    """The configuration cannot be used. The text has the file, the line and how to fix it."""


class SourceFault(Fault):
    """A source of keys could not be read, or gave something that is not a usable key set."""


class ListenFault(Fault):
    """A listener cannot be started: its address or its certificate cannot be used."""
