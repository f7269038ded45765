"""Immutable values that checks read; they are built elsewhere and replaced whole."""
