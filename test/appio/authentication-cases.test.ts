/**
 * The acceptance cases of Flower's own interceptor tests (contract section 11,
 * cases 5 and 7 to 15, and 60 for the Grid), each as Flower or as the
 * difference that design.md section 6 lists. Cases 1 to 4 are in
 * superlink/server-app-io.test.ts.
 */
import { connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, type ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  createAuthenticatedClient,
  createGuard,
  digestToken,
  inProcess,
  parseToken,
  service,
  transportTo,
  unimplemented,
} from "countersign";
import { Grid, serverAppIoPolicy } from "countersign/appio";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { PushAppOutputsRequestSchema } from "../../gen/flwr/proto/appio_pb.ts";
import { ClientAppIo } from "../../gen/flwr/proto/clientappio_pb.ts";
import { RunSchema } from "../../gen/flwr/proto/run_pb.ts";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { clientAppIoPolicy } from "../../src/appio/policy.ts";
import { callHttp2, outcomeOf, type RawRequest } from "../guard/raw-call.ts";
import { header as mailboxHeader, serveMailbox } from "../serve/mailbox-server.ts";
import { createSuperLinkWorld } from "./superlink/world.ts";

const refused = { code: Code.Unauthenticated, rawMessage: "Authentication failed." };
const refusedText = { code: "unauthenticated", message: "Authentication failed." };
const header = "flwr-app-token";

/** Every RPC of ClientAppIo, served by none: fromEntries forgets the names that it was given. */
const unserved = Object.fromEntries(
  ClientAppIo.methods.map(({ localName }) => [localName, unimplemented]),
) as Record<keyof typeof ClientAppIo.method, typeof unimplemented>;

let world: Awaited<ReturnType<typeof createSuperLinkWorld>>;
beforeEach(async () => {
  world = await createSuperLinkWorld();
});
afterEach(() => world.link.close());

/** Calls ServerAppIo over gRPC with exactly these bytes and token headers. */
async function rawCall(
  rpc: string,
  tokens: readonly string[],
  message: Uint8Array,
  isFramed = true,
) {
  const session = connect(world.link.serverAppIoUrl);
  try {
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(message.length, 1);
    const request: RawRequest = {
      method: "POST",
      path: `/flwr.proto.ServerAppIo/${rpc}`,
      headers: [
        ["content-type", "application/grpc"],
        ["te", "trailers"],
        ...tokens.map((value) => [header, value] as const),
      ],
      body: isFramed ? Buffer.concat([frame, message]) : Buffer.from(message),
    };
    return outcomeOf("gRPC", "unary", await callHttp2(session, request));
  } finally {
    session.close();
  }
}

const empty = new Uint8Array();

describe("ClientAppIo", () => {
  const clientAppIo = service(clientAppIoPolicy, {
    ...unserved,
    pullObject: () => ({ objectFound: true }),
  });

  it("case 5: PullObject without a token, or with an unknown one, is refused", async () => {
    const guard = createGuard({
      services: [clientAppIo],
      verifiers: { appToken: () => undefined },
    });
    const client = createClient(ClientAppIo, createRouterTransport(guard.routes));
    await expect(client.pullObject({})).rejects.toMatchObject(refused);
    const headers = { [header]: "unknown" };
    await expect(client.pullObject({}, { headers })).rejects.toMatchObject(refused);
  });
});

describe("ServerAppIo", () => {
  it("case 7: an RPC that the table opens runs without a token", async () => {
    const runId = await world.pendingRun();
    expect(await rawCall("ListAppsToLaunch", [], empty)).toEqual({ code: "ok", message: "" });
    expect((await world.anybody.listAppsToLaunch({})).runIds).toEqual([runId]);
  });

  it("case 8 differs: a token in the body must be the one in the metadata", async () => {
    const { runId, app } = await world.runningRun();
    await expect(
      app.pushAppOutputs({ token: "0".repeat(256), runId, context: {} }),
    ).rejects.toMatchObject({ code: Code.PermissionDenied, rawMessage: "Permission denied." });
  });

  it("case 9: a valid token in the body alone is refused", async () => {
    const { runId, token } = await world.runningRun();
    await expect(world.anybody.pushAppOutputs({ token, runId, context: {} })).rejects.toMatchObject(
      refused,
    );
  });

  it("case 10: an RPC that is in no table is refused, even with a valid token", async () => {
    const { token } = await world.runningRun();
    expect(await rawCall("DropAllRuns", [token], empty)).toEqual(refusedText);
    expect(await rawCall("DropAllRuns", [], empty)).toEqual(refusedText);
  });

  it("case 11 differs: every kind of RPC can be protected", async () => {
    // Flower refuses a protected RPC that streams, whoever calls. AppIo has unary
    // ones only; test/guard/matrix.test.ts has all kinds.
    const kinds = new Set(ServerAppIo.methods.map(({ methodKind }) => methodKind));
    expect([...kinds]).toEqual(["unary"]);
    await using mailbox = await serveMailbox();
    const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
    const watch = async (headers: Record<string, string>) => {
      const texts: string[] = [];
      for await (const { letter } of client.watchLetters({ limit: 2 }, { headers })) {
        texts.push(letter?.text ?? "");
      }
      return texts;
    };
    await expect(watch({})).rejects.toMatchObject(refused);
    expect(mailbox.log.began).toEqual([]);
    expect(await watch(mailboxHeader)).toEqual(["letter 0", "letter 1"]);
  });

  it("case 12: a client keeps other headers and sends its own token once", async () => {
    const seen: Headers[] = [];
    const services = [
      service(clientAppIoPolicy, {
        ...unserved,
        pullObject: (_request, { requestHeader }) => {
          seen.push(requestHeader);
          return {};
        },
      }),
    ] as const;
    const guard = createGuard({
      services,
      verifiers: {
        appToken: (token) =>
          token === "new" ? { runId: 1n, tokenDigest: digestToken(token) } : undefined,
      },
    });
    const client = createAuthenticatedClient(
      clientAppIoPolicy,
      inProcess(createRouterTransport(guard.routes)),
      { appToken: parseToken("new") },
    );
    const headers = new Headers({ "x-test": "kept", [header]: "old" });
    headers.append(header, "older");
    await client.pullObject({}, { headers });
    // Two tokens would have been refused; the one is taken off before the handler.
    expect(seen.map((one) => [one.get("x-test"), one.get(header)])).toEqual([["kept", null]]);
  });

  it("case 13: the tables cover their services exactly, and open three RPCs each", () => {
    for (const policy of [serverAppIoPolicy, clientAppIoPolicy]) {
      const names = policy.service.methods.map(({ localName }) => localName);
      expect(Object.keys(policy.rules).sort()).toEqual(names.sort());
      const open = policy.service.methods.filter(
        (method) => policy.ruleOf(method)?.kind === "open",
      );
      expect(open.map(({ name }) => name).sort()).toEqual([
        "GetRun",
        "ListAppsToLaunch",
        "RequestToken",
      ]);
    }
    expect(ServerAppIo.methods).toHaveLength(15);
    expect(ClientAppIo.methods).toHaveLength(11);
  });

  it("case 14: a valid token that is sent twice, and an empty one, are refused", async () => {
    const { token } = await world.runningRun();
    expect(await rawCall("GetNodes", [token], empty)).toEqual({ code: "ok", message: "" });
    expect(await rawCall("GetNodes", [token, token], empty)).toEqual(refusedText);
    expect(await rawCall("GetNodes", [""], empty)).toEqual(refusedText);
  });

  it("case 15 differs: an undecodable body without a token is refused on the headers", async () => {
    await world.runningRun();
    const garbage = Buffer.from("no message at all");
    expect(await rawCall("GetNodes", [], garbage)).toEqual(refusedText);
    expect(await rawCall("GetNodes", [], garbage, false)).toEqual(refusedText);
  });
});

describe("the Grid", () => {
  it("case 60: sends exactly one token, its own", async () => {
    const { runId, token } = await world.runningRun();
    const sent: (string | null)[] = [];
    const transport = transportTo(createGrpcTransport, {
      baseUrl: world.link.serverAppIoUrl,
      interceptors: [
        (next) => (request) => {
          sent.push(request.header.get(header));
          return next(request);
        },
      ],
    });
    const grid = new Grid({ transport, token, run: create(RunSchema, { runId }) });
    expect(await grid.getNodeIds()).toEqual([]);
    expect(sent).toEqual([token]);
  });
});

it("a foreign run in the body is denied and changes nothing, with the token of another", async () => {
  const one = await world.runningRun();
  const other = await world.runningRun();
  const failure: ConnectError = await other.app
    .pushAppOutputs({ runId: one.runId, context: { runId: one.runId } })
    .then(
      () => expect.fail("the call should have failed"),
      (reason) => reason,
    );
  expect([failure.code, failure.rawMessage]).toEqual([Code.PermissionDenied, "Permission denied."]);
  const outputs = create(PushAppOutputsRequestSchema, {
    runId: other.runId,
    context: { runId: one.runId },
  });
  expect(
    await rawCall("PushAppOutputs", [other.token], toBinary(PushAppOutputsRequestSchema, outputs)),
  ).toEqual({ code: "permission_denied", message: "Permission denied." });
});
