"""The ClientApp in Python: sends back what it was sent, and what it saw of it."""

import hashlib

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    content = message.content
    arrays = content["arrays"]
    calls = 1 + int(context.state["memory"]["calls"] if "memory" in context.state else 0)
    context.state["memory"] = MetricRecord({"calls": calls})
    seen = ConfigRecord(
        {key: hashlib.sha256(array.data).hexdigest() for key, array in arrays.items()}
    )
    node_config = context.node_config
    # A virtual node of a simulation has no name, but a number.
    seen["node"] = str(node_config.get("name", node_config.get("partition-id")))
    seen["greeting"] = str(context.run_config["greeting"])
    reversed_arrays = ArrayRecord([np.ascontiguousarray(arrays["big"].numpy()[::-1])])
    return Message(
        RecordDict(
            {
                "arrays": arrays,
                "reversed": reversed_arrays,
                "config": content["config"],
                "metrics": content["metrics"],
                "calls": MetricRecord({"calls": calls}),
                "seen": seen,
            }
        ),
        reply_to=message,
    )


@app.query("boom")
def boom(message: Message, context: Context) -> Message:
    raise ValueError("boom")
