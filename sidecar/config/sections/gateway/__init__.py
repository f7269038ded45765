"""The sections of a gateway's file. Start at ``root``, which is imported only for a gateway."""
