"""Everything that is read or fetched: files, secrets, HTTP with TLS, and Vault.

Each of them bounds what it reads and how long it waits, and raises ``SourceFault`` when the other
side fails.
"""
