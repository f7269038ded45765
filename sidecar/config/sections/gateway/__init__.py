"""The sections of a gateway's file. ``root`` is the way in, imported for a gateway alone."""
