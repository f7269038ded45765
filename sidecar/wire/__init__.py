"""What talks to Envoy, each wire in a folder of its own, and what denials say on all of them."""
