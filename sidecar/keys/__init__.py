"""Public keys: their sources, their refreshing, and the checks that wait for a key.

``sources`` has one module for each kind of source. ``refresher`` fetches from a source regularly
and when a check meets an unknown key, and publishes the keys as a snapshot. All of it runs on the
event loop except ``VerificationKeys.lookup``, which the check thread calls. Private keys are in
``rings``.
"""
