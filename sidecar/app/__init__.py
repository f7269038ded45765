"""The composition root: the only place that wires things. Start at ``program``."""

from sidecar.app.program import serve

__all__ = ["serve"]
