"""The protocols that Envoy calls, each in its own package, and the denials they share."""
