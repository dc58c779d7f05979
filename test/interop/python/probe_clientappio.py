"""Probe a SuperNode's ClientAppIo on a node that has no message. Argument: its address."""

import sys

import grpc
from flwr.proto.appio_pb2 import (
    ListAppsToLaunchRequest,
    PullAppInputsRequest,
    PullAppMessagesRequest,
    PushAppMessagesRequest,
    PushAppOutputsRequest,
    RequestTokenRequest,
)
from flwr.proto.clientappio_pb2_grpc import ClientAppIoStub
from flwr.proto.heartbeat_pb2 import SendAppHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.run_pb2 import GetRunRequest
from probe import finish, probe

channel = grpc.insecure_channel(sys.argv[1])
stub = ClientAppIoStub(channel)
probe("list apps", lambda: stub.ListAppsToLaunch(ListAppsToLaunchRequest()))
probe("get an unknown run", lambda: stub.GetRun(GetRunRequest(run_id=5)))
for case, metadata in {
    "without a token": [],
    "with an unknown token": [("flwr-app-token", "0" * 256)],
}.items():
    for name, request in {
        "SendAppHeartbeat": SendAppHeartbeatRequest(),
        "PullAppInputs": PullAppInputsRequest(),
        "PushAppOutputs": PushAppOutputsRequest(),
        "PushObject": PushObjectRequest(),
        "PullObject": PullObjectRequest(),
        "ConfirmMessageReceived": ConfirmMessageReceivedRequest(),
        "PushMessage": PushAppMessagesRequest(),
        "PullMessage": PullAppMessagesRequest(),
    }.items():
        probe(
            f"{name} {case}",
            lambda name=name, request=request, metadata=metadata: getattr(stub, name)(
                request, metadata=metadata
            ),
        )
    probe(
        f"an unknown RPC {case}",
        lambda metadata=metadata: channel.unary_unary("/flwr.proto.ClientAppIo/Nothing")(
            b"", metadata=metadata
        ),
    )
probe(
    "claim an unknown run",
    lambda: stub.RequestToken(RequestTokenRequest(run_id=5)),
    lambda response: len(response.token),
)
finish()
