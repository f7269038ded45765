"""The demo and what it shows: the services of a small shop."""
