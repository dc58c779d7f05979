"""Calls that a client of Flower's never makes, or makes when something is wrong.

Each is made with Flower's own stubs and without what its clients do about the answers. What comes
of it is printed as JSON, an object of outcomes by name of the case.
"""

import json
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message as ProtobufMessage

outcomes: dict[str, Any] = {}


def probe(case: str, call: Callable[[], Any], show: Callable[[Any], Any] | None = None) -> Any:
    """Make a call and keep what comes of it; return the response."""
    try:
        response = call()
    except grpc.RpcError as error:
        outcomes[case] = f"{error.code().name}: {error.details()}"
        return None
    if show is not None:
        outcomes[case] = show(response)
    elif isinstance(response, ProtobufMessage):
        outcomes[case] = str(response).strip()
    else:
        outcomes[case] = response
    return response


def finish() -> None:
    print(json.dumps(outcomes))
