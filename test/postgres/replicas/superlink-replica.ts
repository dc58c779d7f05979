import type { KeyObject } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Message } from "../../../gen/flwr/proto/message_pb.ts";
import { signAsSuperNode } from "../../../src/appio/credentials/super-node-signer.ts";
import { fleetPolicy, serverAppIoPolicy } from "../../../src/appio/policy.ts";
import { startSuperLink } from "../../../src/appio/superlink/superlink.ts";
import type { AnySqlDatabase } from "../../../src/authority/sql-database.ts";
import { createAuthenticatedClient } from "../../../src/client/authenticated-client.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { parseToken } from "../../../src/policy/token.ts";
import type { Outcome, Replica } from "./replica.ts";

/** A SuperLink, and clients that call it from the same process. */
export async function createSuperLinkReplica(
  database: AnySqlDatabase,
  nodeKey: KeyObject,
): Promise<Replica> {
  const link = await startSuperLink({
    database,
    operatorToken: parseToken("operator-of-the-replicas"),
    serverAppIoPort: 0,
    fleetPort: 0,
    controlPort: 0,
  });
  const appIo = transportTo(createGrpcTransport, { baseUrl: link.serverAppIoUrl });
  const app = (token: string) =>
    createAuthenticatedClient(serverAppIoPolicy, appIo, { appToken: parseToken(token) });
  const sign = signAsSuperNode(nodeKey);
  const fleet = createAuthenticatedClient(
    fleetPolicy,
    transportTo(createGrpcTransport, { baseUrl: link.fleetUrl }),
    { superNodeKey: sign, superNode: sign },
  );
  return {
    call(contested) {
      switch (contested.kind) {
        case "pullAppInputs":
          return outcomeOf(app(contested.token).pullAppInputs({}), () => "ok");
        case "takeInstruction":
          return outcomeOf(
            fleet.pullMessages({ node: { nodeId: contested.nodeId } }),
            ({ messagesList }) => messagesList.map(idOf),
          );
        case "pullReply":
          return outcomeOf(
            app(contested.token).pullMessages({ messageIds: [contested.instructionId] }),
            ({ messagesList }) => messagesList.map(idOf),
          );
        case "confirm":
          return outcomeOf(
            app(contested.token).confirmMessageReceived({ messageObjectId: contested.messageId }),
            () => "ok",
          );
      }
    },
  };
}

function idOf({ metadata }: Message): string {
  return metadata?.messageId ?? "";
}

async function outcomeOf<T>(call: Promise<T>, read: (answer: T) => Outcome): Promise<Outcome> {
  try {
    return read(await call);
  } catch (error) {
    return Code[ConnectError.from(error).code] ?? "";
  }
}
