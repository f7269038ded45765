"""What talks to Envoy: the gRPC server, the codec, and the messages generated from ``protos/``."""

import os

# Without its event engine grpc core has no threads of its own for sockets: the thread that polls
# reads and writes them (docs/decisions/0001-grpc-server.md). grpc reads the variable when it is
# imported, so it is set here, before any module of this package can do that. A setting that is
# already there is left alone.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
