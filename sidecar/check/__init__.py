"""The path of a check, and nothing else.

Pure: no I/O, no clock (``now`` is an argument), no framework. It can be fuzzed, measured and
reasoned about alone. Start reading at ``pipeline``.
"""
