"""What fetches: the one way to read a file or, later, a URL, with every limit in place."""
