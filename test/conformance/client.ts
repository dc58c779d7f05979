/**
 * A client for the conformance runner to test: the authenticated client that
 * protoc-gen-countersign writes, on transports of connect. Reads on its input
 * which calls to make.
 *
 *   client.ts node|web [plain]
 *
 * `plain` makes the calls with connect's own client instead, without a
 * credential, to tell what fails in the layer below.
 */
import { create } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { parseToken } from "countersign";
import { nodeTransports, webTransports } from "./client-transport.ts";
import { encodeMessage, readMessages } from "./compat-stream.ts";
import {
  type ClientCompatRequest,
  ClientCompatRequestSchema,
  type ClientCompatResponse,
  ClientCompatResponseSchema,
  ClientErrorResultSchema,
} from "./gen/connectrpc/conformance/v1/client_compat_pb.ts";
import { ConformanceServiceClient } from "./gen/connectrpc/conformance/v1/service_countersign.ts";
import { ConformanceService } from "./gen/connectrpc/conformance/v1/service_pb.ts";
import { performCall } from "./perform-call.ts";
import { conformancePolicy } from "./policy.ts";

/** Calls at a time. */
const parallelism = 8;

const session = parseToken(process.env.CONFORMANCE_SESSION ?? "");
const [, , kind, plain] = process.argv;
const transportFor = kind === "web" ? webTransports() : nodeTransports();

function clientFor(request: ClientCompatRequest): Client<typeof ConformanceService> {
  const transport = transportFor(request);
  return plain === "plain"
    ? createClient(ConformanceService, transport)
    : new ConformanceServiceClient(conformancePolicy, transport, { session });
}

async function answer(request: ClientCompatRequest): Promise<ClientCompatResponse> {
  const response = create(ClientCompatResponseSchema, { testName: request.testName });
  try {
    response.result = { case: "response", value: await performCall(clientFor(request), request) };
  } catch (error) {
    const value = create(ClientErrorResultSchema, { message: String(error) });
    response.result = { case: "error", value };
  }
  return response;
}

const running = new Set<Promise<void>>();
for await (const request of readMessages(ClientCompatRequestSchema, process.stdin)) {
  const one = answer(request).then((response) => {
    process.stdout.write(encodeMessage(ClientCompatResponseSchema, response));
    running.delete(one);
  });
  running.add(one);
  if (running.size >= parallelism) {
    await Promise.race(running);
  }
}
await Promise.all(running);
// Connections that wait for further calls would keep the process.
process.stdout.end(() => process.exit());
