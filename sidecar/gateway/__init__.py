"""``role: gateway``: a client's credential in, a fresh request token out. Start at ``pipeline``."""
