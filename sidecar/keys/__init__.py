"""How public keys are found and kept fresh, beside the path of a check and never on it."""
