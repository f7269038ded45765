"""Metrics and logs: the observers that the composition root passes to the other layers."""
