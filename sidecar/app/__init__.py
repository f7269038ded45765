"""The composition root: the only package that creates and connects the parts. See ``program``."""

from sidecar.app.program import serve

__all__ = ["serve"]
