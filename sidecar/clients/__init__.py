"""The clients for everything that is read or fetched: files, secrets, HTTP with TLS, and Vault.

Each limits what it reads and how long it waits, and raises ``SourceFault`` on failure.
"""
