"""Probe a SuperLink's Fleet. Arguments: its address, and a run that is pending."""

import datetime
import sys

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
    RegisterNodeFleetRequest,
    UnregisterNodeFleetRequest,
)
from flwr.proto.fleet_pb2_grpc import FleetStub
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import PullObjectRequest, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.primitives.asymmetric import (
    generate_key_pairs,
    public_key_to_bytes,
    sign_message,
)
from probe import finish, outcomes, probe

address, run_id = sys.argv[1], int(sys.argv[2])
channel = grpc.insecure_channel(address)
stub = FleetStub(channel)
private_key, public_key = generate_key_pairs()
pem = public_key_to_bytes(public_key)
other_key, other_public_key = generate_key_pairs()


def signed(
    seconds_ago: float = 0,
    key: ec.EllipticCurvePrivateKey = private_key,
    shown: ec.EllipticCurvePublicKey = public_key,
) -> list[tuple[str, str | bytes]]:
    time = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds_ago)
    timestamp = time.isoformat()
    return [
        ("flwr-public-key-bin", public_key_to_bytes(shown)),
        ("flwr-timestamp", timestamp),
        ("flwr-signature-bin", sign_message(key, timestamp.encode("ascii"))),
    ]


def show_node_id(response: object) -> str:
    return "an id" if response.node_id > 1 else "none"


def code_of(case: str, call: object) -> None:
    """Keep only the code: refusals have one text here, and others are free-form."""
    probe(case, call)
    outcomes[case] = outcomes[case].split(":")[0]


register = RegisterNodeFleetRequest(public_key=pem)
activate = ActivateNodeRequest(public_key=pem, heartbeat_interval=30)
code_of("no signature", lambda: stub.RegisterNode(register))
code_of("a signature by another key", lambda: stub.RegisterNode(register, metadata=signed(key=other_key)))
code_of("a signature without a time", lambda: stub.RegisterNode(register, metadata=[
    each for each in signed() if each[0] != "flwr-timestamp"]))
code_of("a signature of 306 seconds ago", lambda: stub.RegisterNode(register, metadata=signed(306)))
code_of("a signature of the future", lambda: stub.RegisterNode(register, metadata=signed(-7)))
code_of(
    "activate an unknown key",
    lambda: stub.ActivateNode(activate, metadata=signed()),
)
probe(
    "register, with a signature of 300 seconds ago",
    lambda: stub.RegisterNode(register, metadata=signed(300)),
    show_node_id,
)
code_of("register again", lambda: stub.RegisterNode(register, metadata=signed()))
for interval in (9, 1801):
    probe(
        f"activate with an interval of {interval} seconds",
        lambda interval=interval: stub.ActivateNode(
            ActivateNodeRequest(public_key=pem, heartbeat_interval=interval), metadata=signed()
        ),
    )
activated = probe(
    "activate", lambda: stub.ActivateNode(activate, metadata=signed()), show_node_id
)
node_id = getattr(activated, "node_id", 0)
node = Node(node_id=node_id)
code_of("activate again", lambda: stub.ActivateNode(activate, metadata=signed()))
heartbeat = SendNodeHeartbeatRequest(node=node, heartbeat_interval=30)
probe("a heartbeat", lambda: stub.SendNodeHeartbeat(heartbeat, metadata=signed()))
code_of("register when online", lambda: stub.RegisterNode(register, metadata=signed()))
code_of(
    "activate after a heartbeat", lambda: stub.ActivateNode(activate, metadata=signed())
)
probe(
    "a heartbeat with a wrong interval",
    lambda: stub.SendNodeHeartbeat(
        SendNodeHeartbeatRequest(node=node, heartbeat_interval=1), metadata=signed()
    ),
)
code_of(
    "a heartbeat of another node",
    lambda: stub.SendNodeHeartbeat(
        SendNodeHeartbeatRequest(node=Node(node_id=node_id + 1), heartbeat_interval=30),
        metadata=signed(),
    ),
)
code_of(
    "a heartbeat by an unknown key",
    lambda: stub.SendNodeHeartbeat(
        heartbeat, metadata=signed(key=other_key, shown=other_public_key)
    ),
)
probe("no messages", lambda: stub.PullMessages(PullMessagesRequest(node=node), metadata=signed()))
probe(
    "an unknown run",
    lambda: stub.GetRun(GetRunRequest(node=node, run_id=5), metadata=signed()),
)
code_of(
    "a run that is pending",
    lambda: stub.GetRun(GetRunRequest(node=node, run_id=run_id), metadata=signed()),
)
code_of(
    "the bundle of a run that is pending",
    lambda: stub.GetFab(
        GetFabRequest(node=node, run_id=run_id, hash_str="0" * 64), metadata=signed()
    ),
)
code_of(
    "no replies",
    lambda: stub.PushMessages(PushMessagesRequest(node=node), metadata=signed()),
)
code_of(
    "an object of a run that is pending",
    lambda: stub.PullObject(
        PullObjectRequest(node=node, run_id=run_id, object_id="0" * 64), metadata=signed()
    ),
)
code_of(
    "an object for a run that is pending",
    lambda: stub.PushObject(
        PushObjectRequest(node=node, run_id=run_id, object_id="0" * 64), metadata=signed()
    ),
)
code_of(
    "an unknown RPC",
    lambda: channel.unary_unary("/flwr.proto.Fleet/Nothing")(b"", metadata=signed()),
)
probe(
    "deactivate",
    lambda: stub.DeactivateNode(DeactivateNodeRequest(node_id=node_id), metadata=signed()),
)
code_of(
    "deactivate again",
    lambda: stub.DeactivateNode(DeactivateNodeRequest(node_id=node_id), metadata=signed()),
)
probe(
    "activate after that",
    lambda: stub.ActivateNode(activate, metadata=signed()),
    lambda response: "the same id" if response.node_id == node_id else "another id",
)
probe(
    "unregister while active",
    lambda: stub.UnregisterNode(UnregisterNodeFleetRequest(node_id=node_id), metadata=signed()),
)
code_of(
    "unregister again",
    lambda: stub.UnregisterNode(UnregisterNodeFleetRequest(node_id=node_id), metadata=signed()),
)
code_of("activate what was unregistered", lambda: stub.ActivateNode(activate, metadata=signed()))
code_of(
    "register what was unregistered",
    lambda: show_node_id(stub.RegisterNode(register, metadata=signed())),
)
as_other = {"key": other_key, "shown": other_public_key}
other_register = RegisterNodeFleetRequest(public_key=public_key_to_bytes(other_public_key))
probe(
    "register another key",
    lambda: stub.RegisterNode(other_register, metadata=signed(**as_other)),
    show_node_id,
)
code_of(
    "activate another's key",
    lambda: stub.ActivateNode(
        ActivateNodeRequest(
            public_key=public_key_to_bytes(other_public_key), heartbeat_interval=30
        ),
        # By the first key, which is nobody's any more.
        metadata=signed(),
    ),
)
finish()
