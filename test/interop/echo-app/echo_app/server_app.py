"""The ServerApp in Python: sends records of every kind and checks the replies."""

import hashlib
import json
import time

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid, ServerApp

app = ServerApp()

BIG_ELEMENTS = 5 * 1024 * 1024 // 4
REPLY_TIMEOUT_SECONDS = 120


def make_arrays(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Random bits: every kind of NaN, infinities and subnormal numbers are among them.
    bits = rng.integers(0, 2**32, BIG_ELEMENTS, dtype=np.uint32)
    return {
        "big": bits.view(np.float32),
        "integers": np.arange(-3, 3, dtype=np.int64).reshape(2, 3),
        "scalar": np.array(1.5, dtype=np.float32),
        "empty": np.zeros((0, 4), dtype=np.float64),
        "half": rng.integers(0, 2**16, 7, dtype=np.uint16).view(np.float16),
        "flags": np.array([True, False, True]),
        "bytes": np.frombuffer(rng.bytes(33), dtype=np.uint8),
    }


def make_config() -> ConfigRecord:
    return ConfigRecord(
        {
            "double": 0.1,
            "whole": 5.0,
            "integer": 128,
            "negative": -(2**63),
            "unsigned": 2**64 - 1,
            "yes": True,
            "no": False,
            "text": 'h\u00e9 \U0001f600 "\\/',
            "none": "",
            "raw": b"\x00\xff",
            "doubles": [0.5, -0.0],
            "integers": [1, -2],
            "large": [1, 2**64 - 1],
            "flags": [True, False],
            "texts": ["a", ""],
            "raws": [b"x", b""],
            "empty": [],
        }
    )


def make_metrics() -> MetricRecord:
    return MetricRecord(
        {"accuracy": 0.93, "n": 5, "losses": [0.23, 0.1], "counts": [1, 2], "empty": []}
    )


def wait_for_nodes(grid: Grid, count: int) -> list[int]:
    while len(nodes := list(grid.get_node_ids())) < count:
        time.sleep(0.2)
    return nodes


def expect(found, expected, what: str) -> None:
    if found != expected:
        raise ValueError(f"{what}: expected {expected!r}, found {found!r}")


def check_reply(reply: Message, sent: Message, arrays: dict[str, np.ndarray], round_: int) -> str:
    """Compare one reply with what it answers; return the node's name."""
    if reply.has_error():
        raise ValueError(f"a node answered with error {reply.error.code}: {reply.error.reason}")
    expect(reply.metadata.reply_to_message_id, sent.metadata.message_id, "reply_to_message_id")
    expect(reply.metadata.src_node_id, sent.metadata.dst_node_id, "src_node_id")
    expect(reply.metadata.group_id, str(round_), "group_id")
    content = reply.content
    for key, array in arrays.items():
        sent_array = Array(array)
        found = content["arrays"][key]
        expect((found.dtype, tuple(found.shape)), (str(array.dtype), array.shape), f"{key} type")
        expect(found.data == sent_array.data, True, f"{key}: the bytes that came back")
        expect(
            content["seen"][key],
            hashlib.sha256(sent_array.data).hexdigest(),
            f"{key}: the bytes that the node saw",
        )
    (backwards,) = content["reversed"].values()
    expect(
        backwards.numpy().tobytes() == arrays["big"][::-1].tobytes(),
        True,
        "the array that the node made",
    )
    expect(content["config"].object_id, make_config().object_id, "config")
    expect(content["metrics"].object_id, make_metrics().object_id, "metrics")
    expect(content["calls"]["calls"], round_, "the node's state")
    return str(content["seen"]["node"])


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    if config["mode"] == "fail":
        raise ValueError("told to fail")
    if config["mode"] == "wait":
        print("waiting", flush=True)
        while True:
            time.sleep(0.2)
            list(grid.get_node_ids())
    nodes = wait_for_nodes(grid, int(config["min-nodes"]))
    for round_ in range(1, int(config["num-rounds"]) + 1):
        arrays = make_arrays(round_)
        content = RecordDict(
            {
                "arrays": ArrayRecord({key: Array(array) for key, array in arrays.items()}),
                "config": make_config(),
                "metrics": make_metrics(),
            }
        )
        messages = [
            Message(content, dst_node_id=node, message_type="train", group_id=str(round_))
            for node in nodes
        ]
        replies = list(grid.send_and_receive(messages, timeout=REPLY_TIMEOUT_SECONDS))
        expect(len(replies), len(nodes), "replies")
        sent = {message.metadata.message_id: message for message in messages}
        names = []
        for reply in replies:
            expect(reply.metadata.reply_to_message_id in sent, True, "reply to a message that was sent")
            answered = sent[reply.metadata.reply_to_message_id]
            names.append(check_reply(reply, answered, arrays, round_))
            expect(
                content_greeting(reply), str(config["greeting"]), "the node's run configuration"
            )
        print(json.dumps({"round": round_, "nodes": sorted(names)}), flush=True)
    stranger = Message(RecordDict(), dst_node_id=4711, message_type="query")
    print(json.dumps({"stranger": list(grid.push_messages([stranger]))}), flush=True)
    questions = [
        Message(RecordDict(), dst_node_id=node, message_type="query.boom") for node in nodes
    ]
    answers = list(grid.send_and_receive(questions, timeout=REPLY_TIMEOUT_SECONDS))
    errors = [{"code": answer.error.code, "reason": answer.error.reason} for answer in answers]
    print(json.dumps({"errors": sorted(errors, key=lambda error: error["reason"])}), flush=True)


def content_greeting(reply: Message) -> str:
    return str(reply.content["seen"]["greeting"])
