"""What the path of a check reads: immutable values, built elsewhere and swapped whole."""
