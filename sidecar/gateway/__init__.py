"""``role: gateway``: exchanges a client's credential for a request token. See ``pipeline``."""
