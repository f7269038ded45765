"""JOSE (RFC 7515 to 7518, 7638, 8037): strict reading and writing of tokens and keys. Pure."""
