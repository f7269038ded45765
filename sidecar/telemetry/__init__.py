"""What can be seen from outside: metrics and logs. Wired by the composition root alone."""
