"""What developers run: code and reference pages that are generated, and compared in `make lint`."""
