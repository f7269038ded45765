"""Request tokens for the services behind the gateway: their claims and their signature."""
