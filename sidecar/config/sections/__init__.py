"""The sections of the file: each with its shape, its own rules and its settings."""
