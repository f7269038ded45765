"""The steps of a check, from a request to a decision. Start reading at ``pipeline``.

Pure: no I/O, no clock (``now`` is an argument), no framework, so that it can be fuzzed and measured
on its own.
"""
