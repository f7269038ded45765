"""Configurations for identity providers, each with tokens and keys as the provider makes them.

A folder for each: the configuration (``sidecar.yaml``), its policy tests (``tests.yaml``), whole
tokens with what is expected of them (``tokens.yaml``), the key set (``jwks.json``), and what to
know about it (``README.md``). A folder that is added is tested and documented without further code.
"""
