"""Flower's gRPC server and token interceptor, with handlers that answer constants.

Arguments: run id, token, and the ids of the nodes. Tokens are in a dict, so what is
measured is grpcio and the interceptor. Ends when stdin does.
"""

import json
import sys

from flwr.common.grpc import generic_create_grpc_server
from flwr.proto.message_pb2 import PushObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.serverappio_pb2 import GetNodesResponse
from flwr.proto.serverappio_pb2_grpc import (
    ServerAppIoServicer,
    add_ServerAppIoServicer_to_server,
)
from flwr.supercore.interceptors import (
    create_serverappio_token_auth_server_interceptor,
)

RUN_ID, TOKEN = int(sys.argv[1]), sys.argv[2]
NODE_IDS = [int(node_id) for node_id in sys.argv[3:]]


class Tokens:
    """The two methods of Flower's state that the interceptor calls."""

    def __init__(self) -> None:
        self._run_ids = {TOKEN: RUN_ID}

    def get_run_id_by_token(self, token: str) -> int | None:
        return self._run_ids.get(token)

    def verify_token(self, run_id: int, token: str) -> bool:
        return self._run_ids.get(token) == run_id


class Servicer(ServerAppIoServicer):
    """The two RPCs that are measured."""

    def GetNodes(self, request, context):
        return GetNodesResponse(nodes=[Node(node_id=node_id) for node_id in NODE_IDS])

    def PushObject(self, request, context):
        return PushObjectResponse(stored=len(request.object_content) > 0)


tokens = Tokens()
server = generic_create_grpc_server(
    servicer_and_add_fn=(Servicer(), add_ServerAppIoServicer_to_server),
    server_address="127.0.0.1:0",
    interceptors=[create_serverappio_token_auth_server_interceptor(lambda: tokens)],
)
server.start()
port = int(server.bound_address.rpartition(":")[2])
print(json.dumps({"port": port, "token": TOKEN}), flush=True)
sys.stdin.read()
server.stop(grace=None)
