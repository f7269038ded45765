"""The shop: a service for each role of the story, and its rules."""
