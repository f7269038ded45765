"""Sessions a client may hold: opaque ones of an SSO (RFC 7662), and those the gateway seals."""
