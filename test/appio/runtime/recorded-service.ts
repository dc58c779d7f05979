import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { type ConnectRouter, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { inProcess, type LocatedTransport } from "../../../src/client/located-transport.ts";
import { digestToken, parseToken } from "../../../src/policy/token.ts";

/** The run that the tests' token belongs to; an id that no double can hold. */
export const runId = 2n ** 63n + 5n;
/** The node that the tests' ClientApps run on. */
export const nodeId = 2n ** 62n + 3n;
/** The token that the tests' services accept. */
export const token = parseToken("a".repeat(256));

/** A verifier that knows one token, until it is told to forget it. */
export function oneTokenVerifier() {
  let isRevoked = false;
  const verify = (presented: string) =>
    presented === token && !isRevoked ? { runId, tokenDigest: digestToken(token) } : undefined;
  const revoke = () => {
    isRevoked = true;
  };
  return { verify, revoke };
}

/** One call as it left the client. */
export interface RecordedCall {
  readonly rpc: string;
  readonly message: unknown;
  readonly headerToken: string | null;
}

/** What a client sent, and the way to the service that it sent it to. */
export interface Recording {
  readonly transport: LocatedTransport;
  readonly calls: readonly RecordedCall[];
  /** The names of the RPCs, in the order of the calls. */
  rpcs(): string[];
  /** The requests of one kind of message. */
  requests<D extends DescMessage>(schema: D): MessageShape<D>[];
}

/** Serves routes in the process, through connect's own transport, and records every call on its way. */
export function record(routes: (router: ConnectRouter) => void): Recording {
  const calls: RecordedCall[] = [];
  const recorder: Interceptor = (next) => (request) => {
    calls.push({
      rpc: request.method.name,
      message: request.message,
      headerToken: request.header.get("flwr-app-token"),
    });
    return next(request);
  };
  const transport = createRouterTransport(routes, { transport: { interceptors: [recorder] } });
  return {
    transport: inProcess(transport),
    calls,
    rpcs: () => calls.map(({ rpc }) => rpc),
    requests: (schema) =>
      calls.map(({ message }) => message).filter((message) => isOf(schema, message)),
  };
}

function isOf<D extends DescMessage>(schema: D, message: unknown): message is MessageShape<D> {
  return (
    typeof message === "object" &&
    message !== null &&
    "$typeName" in message &&
    message.$typeName === schema.typeName
  );
}
