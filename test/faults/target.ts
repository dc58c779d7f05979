/**
 * What is fuzzed: the services of a SuperLink and the example Mailbox, in a
 * process of its own, so that a crash is seen as one. Prints one line of JSON
 * when it is ready, and one for every line on stdin: what it uses of memory
 * and handles. Wants `--expose-gc`.
 */
import { generateKeyPairSync } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { signAsSuperNode } from "../../src/appio/credentials/super-node-signer.ts";
import { fleetPolicy, serverAppIoPolicy } from "../../src/appio/policy.ts";
import { startSuperLink } from "../../src/appio/superlink/superlink.ts";
import { createAuthenticatedClient } from "../../src/client/authenticated-client.ts";
import { transportTo } from "../../src/client/located-transport.ts";
import { parseToken } from "../../src/policy/token.ts";
import { token as mailboxToken, serveMailbox } from "../serve/mailbox-server.ts";
import type { TargetFacts, Usage } from "./fuzzed-target.ts";

const link = await startSuperLink({
  databasePath: ":memory:",
  operatorToken: parseToken("operator-of-the-faults"),
  serverAppIoPort: 0,
  fleetPort: 0,
  controlPort: 0,
});
const [runId = 0n] = await link.state.runs.create({ fab: new Uint8Array([1]) });
const appToken = await link.state.runs.claim(runId);
await link.state.inputs.start(runId);
const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const sign = signAsSuperNode(privateKey);
const fleet = createAuthenticatedClient(
  fleetPolicy,
  transportTo(createGrpcTransport, { baseUrl: link.fleetUrl }),
  { superNodeKey: sign, superNode: sign },
);
const pem = Buffer.from(publicKey.export({ type: "spki", format: "pem" }));
await fleet.registerNode({ publicKey: pem });
const { nodeId } = await fleet.activateNode({ publicKey: pem, heartbeatInterval: 1_800 });
const mailbox = await serveMailbox();

const token = parseToken(appToken ?? "");
const app = createAuthenticatedClient(
  serverAppIoPolicy,
  transportTo(createGrpcTransport, { baseUrl: link.serverAppIoUrl }),
  { appToken: token },
);
// Keeps the run and its token alive. Without them nothing behind the guard
// would be fuzzed any more, so their loss ends the process.
setInterval(() => {
  app.sendAppHeartbeat({ token }).catch((error) => {
    console.error(`the run was lost: ${error}`);
    process.exit(3);
  });
}, 5_000);

const facts: TargetFacts = {
  serverAppIoUrl: link.serverAppIoUrl,
  fleetUrl: link.fleetUrl,
  mailboxUrl: mailbox.server.url,
  appToken: token,
  mailboxToken,
  nodeId: String(nodeId),
  nodeKey: String(privateKey.export({ type: "pkcs8", format: "pem" })),
};
console.log(JSON.stringify(facts));

createInterface({ input: process.stdin })
  .on("line", async () => {
    // The test's own notes are no leak of the server's.
    mailbox.log.forget();
    for (let pass = 0; pass < 5; pass++) {
      await delay(20);
      globalThis.gc?.();
    }
    const { heapUsed, rss } = process.memoryUsage();
    const usage: Usage = { heapUsed, rss, handles: process.getActiveResourcesInfo().length };
    console.log(JSON.stringify(usage));
  })
  .on("close", () => process.exit(0));
