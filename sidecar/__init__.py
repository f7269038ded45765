"""authz-sidecar: Envoy asks it about every request, and it answers from the JWT."""
