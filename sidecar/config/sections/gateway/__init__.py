"""The gateway's part of the configuration. ``role`` is the way in, imported for a gateway alone."""
