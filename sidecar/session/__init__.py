"""Sessions of clients: opaque ones of an SSO (RFC 7662), and session tokens of the gateway."""
