"""JOSE (RFC 7515 to 7518, 7638, 8037), strict: what reads and writes tokens and keys. Pure."""
