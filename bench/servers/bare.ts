import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  PushObjectRequestSchema,
  PushObjectResponseSchema,
} from "../../gen/flwr/proto/message_pb.ts";
import {
  GetNodesRequestSchema,
  GetNodesResponseSchema,
} from "../../gen/flwr/proto/serverappio_pb.ts";
import { resolveLimits } from "../../src/serve/limits.ts";
import { fixedToken, frame, nodes, nodesBytes, runId, storedBytes } from "./answers.ts";
import { noteBody } from "./body-watch.ts";
import { getNodesPath, tokenHeader } from "./paths.ts";

/** What to answer to a call, by its path and the body that came, if there is time to read it. */
type Answer = (path: string, body: readonly Buffer[]) => Uint8Array;

/**
 * The floor: node:http2 that answers constant bytes. It looks at the token with
 * one comparison, so that refusals have a floor too.
 */
export function createBareServer(): Http2Server {
  const answers = { nodes: frame(nodesBytes), stored: frame(storedBytes) };
  return createHttp2Server({
    admits: (headers) => headers[tokenHeader] === fixedToken,
    answer: (path) => (path === getNodesPath ? answers.nodes : answers.stored),
  });
}

/** The floor for a server of messages: decodes, looks the token up in a Map, encodes. */
export function createCodecServer(): Http2Server {
  const tokens = new Map<string, bigint>([[fixedToken, runId]]);
  return createHttp2Server({
    admits: (headers) => tokens.has(String(headers[tokenHeader])),
    answer: (path, body) => {
      const message = messageOf(body);
      if (path === getNodesPath) {
        fromBinary(GetNodesRequestSchema, message);
        return frame(toBinary(GetNodesResponseSchema, create(GetNodesResponseSchema, nodes())));
      }
      const { objectContent } = fromBinary(PushObjectRequestSchema, message);
      noteBody();
      const stored = objectContent.length > 0;
      return frame(
        toBinary(PushObjectResponseSchema, create(PushObjectResponseSchema, { stored })),
      );
    },
  });
}

interface BareOptions {
  readonly admits: (headers: IncomingHttpHeaders) => boolean;
  readonly answer: Answer;
}

/** The least that a gRPC server does. Its windows are those of `serve`, to compare like with like. */
function createHttp2Server({ admits, answer }: BareOptions): Http2Server {
  const windowBytes = resolveLimits({}, new Set()).streamWindowBytes;
  const server = createServer({ settings: { initialWindowSize: windowBytes } });
  server.on("session", (session) => session.setLocalWindowSize(windowBytes));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    if (!admits(headers)) {
      refuse(stream);
      return;
    }
    const body: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => body.push(chunk));
    stream.on("end", () => succeed(stream, answer(String(headers[":path"]), body)));
  });
  return server;
}

function succeed(stream: ServerHttp2Stream, answer: Uint8Array): void {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc+proto" },
    { waitForTrailers: true },
  );
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(answer);
}

function refuse(stream: ServerHttp2Stream): void {
  const headers = {
    ":status": 200,
    "content-type": "application/grpc+proto",
    "grpc-status": "16",
    "grpc-message": "Authentication failed.",
  };
  stream.respond(headers, { endStream: true });
  // In a later turn, so that the answer leaves before the reset.
  setImmediate(() => {
    if (!stream.closed && stream.state.remoteClose !== 1) {
      stream.close(constants.NGHTTP2_NO_ERROR);
    }
    stream.resume();
  });
}

/** The message of a unary call's body. */
function messageOf(body: readonly Buffer[]): Uint8Array {
  const [first] = body;
  const whole = body.length === 1 && first !== undefined ? first : Buffer.concat(body);
  return whole.subarray(5);
}
