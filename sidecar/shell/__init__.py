"""One check from its arrival to its answer, whatever wire brought it. Start at ``check``."""
