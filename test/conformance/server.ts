/**
 * A server for the conformance runner to test: made by `serve`, with the guard
 * in front of every RPC. The runner starts one for each protocol, version of
 * HTTP and kind of connection, and says on its input which.
 *
 *   server.ts lean|connect
 *
 * `connect` serves every call through connect's handlers.
 */
import { create } from "@bufbuild/protobuf";
import { service } from "countersign";
import { serve } from "countersign/serve";
import { encodeMessage, readMessages } from "./compat-stream.ts";
import {
  ServerCompatRequestSchema,
  ServerCompatResponseSchema,
} from "./gen/connectrpc/conformance/v1/server_compat_pb.ts";
import { conformanceHandlers } from "./handlers.ts";
import { conformancePolicy } from "./policy.ts";
import { registry } from "./wire-values.ts";

const expected = process.env.CONFORMANCE_SESSION;
const { value: wanted, done } = await readMessages(ServerCompatRequestSchema, process.stdin).next();
if (done === true || expected === undefined) {
  throw new Error("only the conformance runner starts this: npm run test:conformance");
}
const { serverCreds, clientTlsCert, messageReceiveLimit } = wanted;
const tls =
  serverCreds === undefined
    ? undefined
    : {
        cert: Buffer.from(serverCreds.cert),
        key: Buffer.from(serverCreds.key),
        ...(clientTlsCert.length === 0
          ? {}
          : { ca: Buffer.from(clientTlsCert), requestCert: true, rejectUnauthorized: true }),
      };
const server = await serve({
  services: [service(conformancePolicy, conformanceHandlers)],
  verifiers: {
    session: (token) => (token === expected ? { presented: token } : undefined),
  },
  port: 0,
  jsonOptions: { registry },
  leanPath: process.argv[2] !== "connect",
  ...(messageReceiveLimit === 0 ? {} : { readMaxBytes: messageReceiveLimit }),
  ...(tls === undefined ? {} : { tls }),
});
process.stdout.write(
  encodeMessage(
    ServerCompatResponseSchema,
    create(ServerCompatResponseSchema, {
      host: "127.0.0.1",
      port: server.port,
      ...(serverCreds === undefined ? {} : { pemCert: serverCreds.cert }),
    }),
  ),
);
