"""Every run tries the same examples: what fails in CI fails at a desk too.

``--hypothesis-profile thorough`` searches for new ones.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "deterministic", derandomize=True, database=None, deadline=None, max_examples=300
)
settings.register_profile(
    "thorough", database=None, deadline=None, max_examples=20_000, suppress_health_check=HealthCheck
)
settings.load_profile("deterministic")
