"""The gRPC wire: the server, the codec, and the messages generated from ``protos/``."""

import os

# Without its event engine, grpc core has no threads for sockets: the polling thread reads and
# writes them (docs/decisions/0001-grpc-server.md). grpc reads the variable when it is imported, so
# it is set here, before any module of this package imports grpc. An existing value is kept.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
