/**
 * The matrix of `countersign/testing` on Flower's own servers: what they answer
 * to hostile calls, compared with what is written down in docs/attack.md.
 */
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type AttackReport, attack, formatReport } from "countersign/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { signAsSuperNode } from "../../src/appio/credentials/super-node-signer.ts";
import { clientAppIoPolicy, fleetPolicy, serverAppIoPolicy } from "../../src/appio/policy.ts";
import { createAuthenticatedClient } from "../../src/client/authenticated-client.ts";
import { transportTo } from "../../src/client/located-transport.ts";
import { digestToken, parseToken } from "../../src/policy/token.ts";
import { Flower, type FlowerSuperLink, hasFlower } from "./flower.ts";

/** What was found, without places, and of other refusals the answer alone; numbers become N. */
function summaryOf({ findings }: AttackReport): string[] {
  const lines = findings
    // How far an upload comes before it is refused for its size is a matter of time.
    .filter(({ request }) => request !== "upload that never ends")
    .map(({ kind, request, got }) =>
      (kind === "wrong refusal" ? `${kind}: ${got}` : `${kind}: ${request}: ${got}`)
        .replace(/\d{5,}/g, "N")
        .replace(/"b'.*?'"/, "it"),
    );
  return [...new Set(lines)].sort();
}

/** What grpcio does with requests before any of Flower's code sees them. */
const ofGrpcio = [
  "body awaited: body that never comes: no answer while the body did not end",
  "body looked at: compressed garbage: internal: Decompression failed due to zlib error",
  "body looked at: oversized announced length: resource_exhausted: SERVER: Received message larger than max (N vs. N)",
  "body looked at: truncated body: unimplemented: it requires exactly one request message.",
  "wrong refusal: internal: Error parsing 'grpc-encoding' metadata",
  "wrong refusal: internal: Error parsing 'grpc-timeout' metadata",
];

/** The two AppIo services, besides: their open RPCs, and a message that is decoded before the token is looked at. */
const ofAppIo = [
  ...ofGrpcio,
  // A frame with unknown flags counts as an empty message; no content type as gRPC's.
  "accepted: garbage body: ok",
  "accepted: no content type: ok",
  "body looked at: garbage message: internal: Exception deserializing request!",
];

/** Uploads to a Python server take a while, and say the same after 1 MiB. */
const limits = { silenceMs: 1_000, maxUploadBytes: 1024 * 1024 };

describe.skipIf(!hasFlower)("Flower's own servers under attack", () => {
  const opened = new AsyncDisposableStack();
  let flower: Flower;
  let superLink: FlowerSuperLink;
  beforeAll(async () => {
    flower = opened.use(await Flower.open());
    superLink = await flower.startSuperLink();
    await flower.connectTo(superLink);
  });
  afterAll(() => opened.disposeAsync());

  it("ServerAppIo", async () => {
    const url = `http://${superLink.serverAppIo}`;
    const runId = BigInt(await flower.startRun());
    const anybody = createClient(ServerAppIo, createGrpcTransport({ baseUrl: url }));
    const token = parseToken((await anybody.requestToken({ runId })).token);
    // A token lives 30 s there unless its app sends heartbeats.
    const app = createAuthenticatedClient(
      serverAppIoPolicy,
      transportTo(createGrpcTransport, { baseUrl: url }),
      { appToken: token },
    );
    const heartbeat = setInterval(() => app.sendAppHeartbeat({ token }).catch(() => {}), 5_000);
    opened.defer(() => clearInterval(heartbeat));
    const report = await attack({
      url,
      policies: [serverAppIoPolicy],
      limits,
      credentials: {
        appToken: {
          live: { presented: token, claims: { runId, tokenDigest: digestToken(token) } },
        },
      },
    });
    console.log(formatReport(report));
    expect(summaryOf(report)).toEqual(
      [
        ...ofAppIo,
        // The handler runs for a run that the token does not prove; here it does not exist.
        "not bound: messages_list[].metadata.run_id: unknown: Exception calling application: 0",
        "not bound: run_id: unknown: Exception calling application: N",
        "not bound: run_id: unknown: Exception calling application: Run N not found",
        // GetFederationOptions is not there any more.
        "not bound: run_id: unknown: Exception calling application: To be removed",
        // Another token in the body: of SendAppHeartbeat, and of PushMessages and PullMessages.
        "not bound: token: ok",
        "not bound: token: unknown: Exception calling application: 0",
        // Denied, by handlers that compare body and metadata.
        "wrong refusal: permission_denied: Invalid token.",
      ].sort(),
    );
  });

  it("Fleet", async () => {
    const url = `http://${superLink.fleet}`;
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    const pem = Buffer.from(createPublicKey(privateKey).export({ type: "spki", format: "pem" }));
    const sign = signAsSuperNode(privateKey);
    const fleet = createAuthenticatedClient(
      fleetPolicy,
      transportTo(createGrpcTransport, { baseUrl: url }),
      {
        superNodeKey: sign,
        superNode: sign,
      },
    );
    await fleet.registerNode({ publicKey: pem });
    const { nodeId } = await fleet.activateNode({ publicKey: pem, heartbeatInterval: 1800 });
    const report = await attack({
      url,
      policies: [fleetPolicy],
      limits,
      credentials: {
        superNodeKey: { live: { presented: sign, claims: { publicKey: pem } } },
        superNode: { live: { presented: sign, claims: { nodeId } } },
      },
    });
    console.log(formatReport(report));
    expect(summaryOf(report)).toEqual(
      [
        ...ofGrpcio,
        // ActivateNode and RegisterNode, with another key in the request than the one that signs.
        "not bound: public_key: invalid_argument: Invalid heartbeat interval",
        "not bound: public_key: ok",
        "wrong refusal: internal: Error parsing 'flwr-public-key-bin' metadata: illegal base64 encoding",
        "wrong refusal: unauthenticated: Invalid node ID",
        "wrong refusal: unauthenticated: Missing authentication metadata",
        "wrong refusal: unimplemented: Method not found!",
        "wrong refusal: unknown: Error in service handler!",
      ].sort(),
    );
  });

  it("ClientAppIo", async () => {
    const node = await flower.startSuperNode(superLink.fleet, "flower's");
    const report = await attack({
      url: `http://${node.clientAppIo}`,
      policies: [clientAppIoPolicy],
      limits,
    });
    console.log(formatReport(report));
    expect(summaryOf(report)).toEqual([...ofAppIo].sort());
  });
});
