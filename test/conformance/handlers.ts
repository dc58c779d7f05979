import { setTimeout as delay } from "node:timers/promises";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import type { HandlerOf, HandlersOf } from "countersign";
import { unimplemented } from "countersign";
import {
  BidiStreamRequestSchema,
  ClientStreamRequestSchema,
  type ConformancePayload,
  type ConformancePayload_RequestInfo,
  ConformancePayload_RequestInfoSchema,
  ConformancePayloadSchema,
  HeaderSchema,
  IdempotentUnaryRequestSchema,
  ServerStreamRequestSchema,
  type StreamResponseDefinition,
  UnaryRequestSchema,
  type UnaryResponseDefinition,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";
import type { conformancePolicy } from "./policy.ts";
import { sessionHeader } from "./session-header.ts";
import { appendHeaders, connectErrorOf, headerList } from "./wire-values.ts";

type Context = Parameters<HandlerOf<typeof conformancePolicy, "unary">>[1];

/**
 * The conformance service: it answers what its requests ask for, and tells what
 * it was sent. What each RPC does is written beside it in service.proto.
 */
export const conformanceHandlers: HandlersOf<typeof conformancePolicy> = {
  unary: (request, context) =>
    answer(request.responseDefinition, [anyPack(UnaryRequestSchema, request)], context),
  idempotentUnary: (request, context) =>
    answer(request.responseDefinition, [anyPack(IdempotentUnaryRequestSchema, request)], context),
  clientStream: async (requests, context) => {
    let definition: UnaryResponseDefinition | undefined;
    const received: Any[] = [];
    for await (const request of requests) {
      if (received.length === 0) {
        definition = request.responseDefinition;
      }
      received.push(anyPack(ClientStreamRequestSchema, request));
    }
    return answer(definition, received, context);
  },
  serverStream: async function* (request, context) {
    const stream = new StreamAnswer(request.responseDefinition, context);
    stream.received(ServerStreamRequestSchema, request);
    while (stream.hasNext()) {
      yield await stream.next();
    }
    stream.end();
  },
  bidiStream: async function* (requests, context) {
    let stream: StreamAnswer | undefined;
    let isFullDuplex = false;
    for await (const request of requests) {
      if (stream === undefined) {
        stream = new StreamAnswer(request.responseDefinition, context);
        isFullDuplex = request.fullDuplex;
      }
      stream.received(BidiStreamRequestSchema, request);
      if (isFullDuplex) {
        if (!stream.hasNext()) {
          break;
        }
        yield await stream.next();
      }
    }
    while (stream?.hasNext()) {
      yield await stream.next();
    }
    stream?.end();
  },
  unimplemented,
};

/** Answers with one message, or with an error. */
async function answer(
  definition: UnaryResponseDefinition | undefined,
  requests: Any[],
  context: Context,
): Promise<{ payload: ConformancePayload }> {
  appendHeaders(context.responseHeader, definition?.responseHeaders ?? []);
  appendHeaders(context.responseTrailer, definition?.responseTrailers ?? []);
  const requestInfo = requestInfoOf(context, requests);
  const response = definition?.response;
  await wait(definition?.responseDelayMs, context);
  if (response?.case === "error") {
    throw connectErrorOf(response.value, [
      anyPack(ConformancePayload_RequestInfoSchema, requestInfo),
    ]);
  }
  const data = response?.value ?? new Uint8Array();
  return { payload: create(ConformancePayloadSchema, { requestInfo, data }) };
}

/** The messages of one response stream, and its end. */
class StreamAnswer {
  readonly #definition: StreamResponseDefinition | undefined;
  readonly #context: Context;
  /** Requests that no message has told of. */
  #requests: Any[] = [];
  #sent = 0;

  constructor(definition: StreamResponseDefinition | undefined, context: Context) {
    this.#definition = definition;
    this.#context = context;
    appendHeaders(context.responseHeader, definition?.responseHeaders ?? []);
    appendHeaders(context.responseTrailer, definition?.responseTrailers ?? []);
  }

  received<D extends DescMessage>(schema: D, request: MessageShape<D>): void {
    this.#requests.push(anyPack(schema, request));
  }

  hasNext(): boolean {
    return this.#sent < (this.#definition?.responseData.length ?? 0);
  }

  /** The next message. It tells of the requests since the one before. */
  async next(): Promise<{ payload: ConformancePayload }> {
    await wait(this.#definition?.responseDelayMs, this.#context);
    const payload = create(ConformancePayloadSchema, {
      data: this.#definition?.responseData[this.#sent] ?? new Uint8Array(),
    });
    if (this.#sent === 0) {
      payload.requestInfo = requestInfoOf(this.#context, this.#requests);
    } else if (this.#requests.length > 0) {
      payload.requestInfo = create(ConformancePayload_RequestInfoSchema, {
        requests: this.#requests,
      });
    }
    this.#requests = [];
    this.#sent++;
    return { payload };
  }

  /** Throws the error that the stream ends with, if it ends with one. */
  end(): void {
    const error = this.#definition?.error;
    if (error === undefined) {
      return;
    }
    const requestInfo = requestInfoOf(this.#context, this.#requests);
    throw connectErrorOf(
      error,
      this.#sent === 0 ? [anyPack(ConformancePayload_RequestInfoSchema, requestInfo)] : [],
    );
  }
}

/** What a call has brought, for its client to compare. */
function requestInfoOf(context: Context, requests: Any[]): ConformancePayload_RequestInfo {
  const timeoutMs = context.timeoutMs();
  const info = create(ConformancePayload_RequestInfoSchema, {
    // The guard keeps secrets from handlers. What its verifier was shown goes
    // back in its place: the runner asks for every header that it has sent.
    requestHeaders: [
      ...headerList(context.requestHeader),
      create(HeaderSchema, { name: sessionHeader, value: [context.caller.presented] }),
    ],
    requests,
    ...(timeoutMs === undefined ? {} : { timeoutMs: BigInt(Math.trunc(timeoutMs)) }),
  });
  if (context.requestMethod === "GET") {
    const queryParams = [...new URL(context.url).searchParams].map(([name, value]) =>
      create(HeaderSchema, { name, value: [value] }),
    );
    return { ...info, connectGetInfo: { $typeName: queryInfoName, queryParams } };
  }
  return info;
}

const queryInfoName = "connectrpc.conformance.v1.ConformancePayload.ConnectGetInfo";

async function wait(ms: number | undefined, { signal }: Context): Promise<void> {
  if (ms !== undefined && ms > 0) {
    await delay(ms, undefined, { signal }).catch(() => {
      // The signal's reason has the call's code, and the timer's error has none.
      throw signal.reason;
    });
  }
}
