"""Tokens for the services behind the gateway: what they say, and their signature."""
