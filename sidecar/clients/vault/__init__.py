"""HashiCorp Vault and OpenBao: the HTTP API, logins, KV version 2 and the transit engine."""
