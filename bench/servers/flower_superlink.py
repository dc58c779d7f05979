"""Flower's ServerAppIo on its SQLite state and object store, as flower-superlink starts it.

Argument: path of the database. Each line "run" on stdin starts a run and prints its id
and token. Ends when stdin does.
"""

import json
import sys

from flwr.common.constant import NOOP_FLWR_AID, Status
from flwr.common.typing import RunStatus
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.server.superlink.serverappio.serverappio_grpc import run_serverappio_api_grpc
from flwr.supercore.constant import NOOP_FEDERATION, RunType
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager

database = sys.argv[1]
objects = ObjectStoreFactory(database)
states = LinkStateFactory(database, NoOpFederationManager(), objects)
state = states.state()
# Its heartbeats would come once in half an hour.
node_id = state.create_node(NOOP_FLWR_AID, "node", b"key of the node", 1_800.0)
assert state.activate_node(node_id, 1_800.0)
server = run_serverappio_api_grpc("127.0.0.1:0", states, objects, None)
port = int(server.bound_address.rpartition(":")[2])
print(json.dumps({"port": port, "token": ""}), flush=True)
for _ in sys.stdin:
    run_id = state.create_run(
        "", "", "", {}, NOOP_FEDERATION, None, "", RunType.SERVER_APP
    )
    token = state.create_token(run_id)
    for status in (Status.STARTING, Status.RUNNING):
        assert state.update_run_status(run_id, RunStatus(status, "", ""))
    print(json.dumps({"runId": str(run_id), "token": token}), flush=True)
server.stop(grace=None)
