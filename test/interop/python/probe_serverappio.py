"""Probe a SuperLink's ServerAppIo. Arguments: its address, and two pending runs."""

import hashlib
import sys
import time

import grpc
from flwr.proto.appio_pb2 import (
    ListAppsToLaunchRequest,
    PullAppInputsRequest,
    PullAppMessagesRequest,
    PushAppMessagesRequest,
    PushAppOutputsRequest,
    RequestTokenRequest,
)
from flwr.proto.heartbeat_pb2 import SendAppHeartbeatRequest
from flwr.proto.log_pb2 import PushLogsRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    Context,
    Message,
    Metadata,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.recorddict_pb2 import RecordDict
from flwr.proto.run_pb2 import GetRunRequest, RunStatus, UpdateRunStatusRequest
from flwr.proto.serverappio_pb2 import GetNodesRequest
from flwr.proto.serverappio_pb2_grpc import ServerAppIoStub
from probe import finish, outcomes, probe

address, run_a, run_b = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
channel = grpc.insecure_channel(address)
stub = ServerAppIoStub(channel)
HEADER = "flwr-app-token"
SUPERLINK = Node(node_id=1)


def known(run_id: int) -> str:
    return {run_a: "A", run_b: "B", 0: "none"}.get(run_id, "other")


def code_of(case: str, call: object) -> None:
    """Keep only the code, where the text names a run or is free-form."""
    probe(case, call)
    outcomes[case] = outcomes[case].split(":")[0]


# --- What is open
listed = probe(
    "list apps",
    lambda: stub.ListAppsToLaunch(ListAppsToLaunchRequest()),
    lambda response: sorted(map(known, response.run_ids)),
)
probe("get an unknown run", lambda: stub.GetRun(GetRunRequest(run_id=5)))
probe(
    "get a pending run",
    lambda: stub.GetRun(GetRunRequest(run_id=run_a)),
    lambda response: [
        known(response.run.run_id),
        response.run.run_type,
        response.run.status.status,
        response.run.fab_id,
        response.run.fab_version,
        len(response.run.fab_hash),
    ],
)
probe(
    "get a pending run: what else it tells",
    lambda: stub.GetRun(GetRunRequest(run_id=run_a)),
    lambda response: sorted(
        field.name
        for field, _ in response.run.ListFields()
        if field.name
        not in {"run_id", "run_type", "status", "fab_id", "fab_version", "fab_hash"}
    ),
)
token_a = probe(
    "claim a pending run",
    lambda: stub.RequestToken(RequestTokenRequest(run_id=run_a)),
    lambda response: len(response.token),
).token
probe(
    "claim it again",
    lambda: stub.RequestToken(RequestTokenRequest(run_id=run_a)),
    lambda response: len(response.token),
)
probe(
    "claim an unknown run",
    lambda: stub.RequestToken(RequestTokenRequest(run_id=5)),
    lambda response: len(response.token),
)
probe(
    "a bad token where none is needed",
    lambda: stub.ListAppsToLaunch(ListAppsToLaunchRequest(), metadata=[(HEADER, "bad")]),
    lambda response: sorted(map(known, response.run_ids)),
)
probe(
    "get a claimed run",
    lambda: stub.GetRun(GetRunRequest(run_id=run_a)),
    lambda response: response.run.status.status,
)

# --- Tokens
nodes = GetNodesRequest(run_id=run_a)
for case, metadata in {
    "no token": [],
    "an empty token": [(HEADER, "")],
    "an unknown token": [(HEADER, "0" * 256)],
    "the token twice": [(HEADER, token_a), (HEADER, token_a)],
    "the token in other letters": [(HEADER, token_a.upper())],
    "the token and a comma": [(HEADER, token_a + ",")],
    "the token under another name": [("authorization", token_a)],
}.items():
    probe(case, lambda metadata=metadata: stub.GetNodes(nodes, metadata=metadata))
with_a = [(HEADER, token_a)]
unary = channel.unary_unary
probe("an unknown RPC without a token", lambda: unary("/flwr.proto.ServerAppIo/Nothing")(b""))
probe(
    "an unknown RPC with a token",
    lambda: unary("/flwr.proto.ServerAppIo/Nothing")(b"", metadata=with_a),
)
probe("an unknown service", lambda: unary("/flwr.proto.Nothing/Nothing")(b"", metadata=with_a))
probe("garbage without a token", lambda: unary("/flwr.proto.ServerAppIo/GetNodes")(b"\xff"))
code_of(
    "garbage with a token",
    lambda: unary("/flwr.proto.ServerAppIo/GetNodes")(b"\xff", metadata=with_a),
)
probe(
    "a body token without a header",
    lambda: stub.PullAppInputs(PullAppInputsRequest(token=token_a)),
)
token_b = stub.RequestToken(RequestTokenRequest(run_id=run_b)).token
probe(
    "another run's body token",
    lambda: stub.SendAppHeartbeat(SendAppHeartbeatRequest(token=token_b), metadata=with_a),
)
probe(
    "another run's id",
    lambda: stub.GetNodes(GetNodesRequest(run_id=run_b), metadata=with_a),
)

# --- Before it runs
for case, call in {
    "nodes before the start": lambda: stub.GetNodes(nodes, metadata=with_a),
    "messages before the start": lambda: stub.PullMessages(
        PullAppMessagesRequest(run_id=run_a), metadata=with_a
    ),
    "outputs before the start": lambda: stub.PushAppOutputs(
        PushAppOutputsRequest(token=token_a, run_id=run_a, context=Context(run_id=run_a)),
        metadata=with_a,
    ),
}.items():
    probe(case, call)

# --- The start
inputs = probe(
    "inputs",
    lambda: stub.PullAppInputs(PullAppInputsRequest(token=token_a), metadata=with_a),
    lambda response: [
        known(response.run.run_id),
        known(response.context.run_id),
        hashlib.sha256(response.fab.content).hexdigest() == response.run.fab_hash,
        response.fab.hash_str == response.run.fab_hash,
        response.HasField("federation_config"),
    ],
)
probe(
    "inputs: the context's node",
    lambda: inputs.context,
    lambda context: [context.node_id, context.HasField("state")],
)
code_of(
    "inputs again",
    lambda: stub.PullAppInputs(PullAppInputsRequest(token=token_a), metadata=with_a),
)
probe("nodes", lambda: stub.GetNodes(nodes, metadata=with_a))
probe(
    "a heartbeat",
    lambda: stub.SendAppHeartbeat(SendAppHeartbeatRequest(token=token_a), metadata=with_a),
)
probe(
    "logs",
    lambda: stub.PushLogs(
        PushLogsRequest(run_id=run_a, node=Node(node_id=0), logs=["a", "b\n"]), metadata=with_a
    ),
)


# --- Messages
def message(**changes: object) -> Message:
    metadata = {
        "run_id": run_a,
        "message_id": "0" * 64,
        "src_node_id": 1,
        "dst_node_id": 4711,
        "ttl": 3600.0,
        "message_type": "train",
        "created_at": time.time(),
        **changes,
    }
    return Message(metadata=Metadata(**metadata), content=RecordDict())


def push(*messages: Message, trees: list[ObjectTree] | None = None) -> object:
    return stub.PushMessages(
        PushAppMessagesRequest(
            run_id=run_a,
            messages_list=messages,
            message_object_trees=(
                [ObjectTree(object_id=each.metadata.message_id) for each in messages]
                if trees is None
                else trees
            ),
        ),
        metadata=with_a,
    )


code_of("no messages", lambda: push())
code_of("a message without a tree", lambda: push(message(), trees=[]))
code_of("a message without an id", lambda: push(message(message_id="")))
code_of("a message to nobody", lambda: push(message(dst_node_id=0)))
code_of("a message to the SuperLink", lambda: push(message(dst_node_id=1)))
code_of("a message from a node", lambda: push(message(src_node_id=4711)))
code_of("a message of another run", lambda: push(message(run_id=run_b)))
code_of("a reply", lambda: push(message(reply_to_message_id="1" * 64)))
code_of("a message of an unknown type", lambda: push(message(message_type="dance")))
code_of("a message without time to live", lambda: push(message(ttl=0.0)))
code_of("a message that has expired", lambda: push(message(created_at=time.time() - 7200)))
code_of("a message of the past", lambda: push(message(created_at=1.0)))
code_of(
    "a message with a bad object id",
    lambda: push(message(), trees=[ObjectTree(object_id="invalid")]),
)
probe("a message to a stranger", lambda: push(message()), lambda response: response.message_ids[:])


def pull(*message_ids: str) -> object:
    return stub.PullMessages(
        PullAppMessagesRequest(run_id=run_a, message_ids=message_ids), metadata=with_a
    )


def show_replies(response: object) -> list[object]:
    return [
        [
            each.metadata.src_node_id,
            each.metadata.dst_node_id,
            each.metadata.reply_to_message_id,
            each.metadata.message_type,
            each.error.code,
            each.HasField("content"),
            len(each.metadata.message_id),
            tree.object_id == each.metadata.message_id,
        ]
        for each, tree in zip(
            response.messages_list, response.message_object_trees, strict=True
        )
    ]


probe("no replies", lambda: pull(), show_replies)
probe("a reply to an unknown message", lambda: pull("2" * 64), show_replies)
probe("a reply to a message with a bad id", lambda: pull(""), show_replies)
error_reply = pull("3" * 64)
probe(
    "the object of an error reply",
    lambda: stub.PullObject(
        PullObjectRequest(
            node=SUPERLINK,
            run_id=run_a,
            object_id=error_reply.messages_list[0].metadata.message_id,
        ),
        metadata=with_a,
    ),
    lambda response: [
        response.object_found,
        response.object_available,
        hashlib.sha256(response.object_content).hexdigest()
        == error_reply.messages_list[0].metadata.message_id,
    ],
)


# --- Objects
def put(content: bytes, object_id: str | None = None, node: Node = SUPERLINK) -> object:
    return stub.PushObject(
        PushObjectRequest(
            node=node,
            run_id=run_a,
            object_id=hashlib.sha256(content).hexdigest() if object_id is None else object_id,
            object_content=content,
        ),
        metadata=with_a,
    )


probe("an object that nobody announced", lambda: put(b"ConfigRecord  0\x00"))
probe("an object under another's id", lambda: put(b"ConfigRecord  0\x00", "4" * 64))
probe("an object of another node", lambda: put(b"ConfigRecord  0\x00", node=Node(node_id=2)))
code_of("an object without a head", lambda: put(b"ConfigRecord"))
code_of("an object of a wrong length", lambda: put(b"ConfigRecord  1\x00"))
code_of("an object of an unknown type", lambda: put(b"Nothing  0\x00"))
code_of("an object with a bad child", lambda: put(b"RecordDict abc 2\x00{}"))
probe(
    "an unknown object",
    lambda: stub.PullObject(
        PullObjectRequest(node=SUPERLINK, run_id=run_a, object_id="5" * 64), metadata=with_a
    ),
)
probe(
    "an object for another node",
    lambda: stub.PullObject(
        PullObjectRequest(node=Node(node_id=2), run_id=run_a, object_id="5" * 64),
        metadata=with_a,
    ),
)
probe(
    "an unknown message is confirmed",
    lambda: stub.ConfirmMessageReceived(
        ConfirmMessageReceivedRequest(node=SUPERLINK, run_id=run_a, message_object_id="5" * 64),
        metadata=with_a,
    ),
)


# --- The end
def update(status: str, sub_status: str = "") -> object:
    return stub.UpdateRunStatus(
        UpdateRunStatusRequest(
            run_id=run_a, run_status=RunStatus(status=status, sub_status=sub_status)
        ),
        metadata=with_a,
    )


code_of("back to pending", lambda: update("pending"))
probe(
    "outputs",
    lambda: stub.PushAppOutputs(
        PushAppOutputsRequest(token=token_a, run_id=run_a, context=Context(run_id=run_a)),
        metadata=with_a,
    ),
)
probe("finished", lambda: update("finished", "completed"))
probe("nodes after the end", lambda: stub.GetNodes(nodes, metadata=with_a))
probe(
    "a heartbeat after the end",
    lambda: stub.SendAppHeartbeat(SendAppHeartbeatRequest(token=token_a), metadata=with_a),
)
probe(
    "claim a finished run",
    lambda: stub.RequestToken(RequestTokenRequest(run_id=run_a)),
    lambda response: len(response.token),
)
probe(
    "get a finished run",
    lambda: stub.GetRun(GetRunRequest(run_id=run_a)),
    lambda response: [response.run.status.status, response.run.status.sub_status],
)
finish()
