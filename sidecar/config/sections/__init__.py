"""The sections of the file: each with its shape, its own rules and the settings it leads to."""
