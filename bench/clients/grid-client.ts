import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { RunSchema } from "../../gen/flwr/proto/run_pb.ts";
import { openGrpc } from "../../src/appio/grpc-connection.ts";
import { Grid } from "../../src/appio/runtime/grid.ts";
import { parseToken } from "../../src/policy/token.ts";
import type { CreateClient } from "./measured-client.ts";

/** Connects Grid as the process of a ServerApp does. */
export function connectGrid(url: string): CreateClient {
  const { transport } = openGrpc(url);
  return ({ runId, token }) => {
    const grid = new Grid({
      ...{ transport, token: parseToken(token), run: create(RunSchema, { runId }) },
      createSha256: () => createHash("sha256"),
      // That of an app's process ends its calls when the run is stopped.
      signal: new AbortController().signal,
    });
    return {
      getNodeIds: () => grid.getNodeIds(),
      prepare(messages) {
        let messageIds: string[] = [];
        return {
          async push() {
            messageIds = await grid.pushMessages(messages);
          },
          pull: async () => (await grid.pullMessages(messageIds)).length,
        };
      },
    };
  };
}
