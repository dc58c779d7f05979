import { setTimeout as delay } from "node:timers/promises";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { anyUnpackTo } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Client, ConnectError } from "@connectrpc/connect";
import { createWritableIterable } from "@connectrpc/connect/protocol";
import {
  type ClientCompatRequest,
  type ClientResponseResult,
  ClientResponseResultSchema,
} from "./gen/connectrpc/conformance/v1/client_compat_pb.ts";
import { StreamType } from "./gen/connectrpc/conformance/v1/config_pb.ts";
import {
  type BidiStreamRequest,
  BidiStreamRequestSchema,
  ClientStreamRequestSchema,
  type ConformancePayload,
  ConformancePayloadSchema,
  type ConformanceService,
  IdempotentUnaryRequestSchema,
  ServerStreamRequestSchema,
  UnaryRequestSchema,
  UnimplementedRequestSchema,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";
import { sessionHeader } from "./session-header.ts";
import { appendHeaders, headerList, rpcErrorOf } from "./wire-values.ts";

/** Makes the call that a test case describes, and tells how it went. Never throws for what the RPC does. */
export async function performCall(
  client: Client<typeof ConformanceService>,
  request: ClientCompatRequest,
): Promise<ClientResponseResult> {
  const call = new Call(request);
  try {
    await perform(client, call);
  } catch (error) {
    call.failed(ConnectError.from(error));
  }
  return call.result;
}

async function perform(client: Client<typeof ConformanceService>, call: Call): Promise<void> {
  const { method } = call.request;
  switch (method) {
    case "Unary": {
      const response = client.unary(call.only(UnaryRequestSchema), call.options);
      call.cancelAfterSend();
      return call.received((await response).payload);
    }
    case "IdempotentUnary": {
      const message = call.only(IdempotentUnaryRequestSchema);
      const response = client.idempotentUnary(message, call.options);
      call.cancelAfterSend();
      return call.received((await response).payload);
    }
    case "Unimplemented":
      await client.unimplemented(call.only(UnimplementedRequestSchema), call.options);
      return;
    case "ServerStream": {
      const responses = client.serverStream(call.only(ServerStreamRequestSchema), call.options);
      call.cancelAfterSend();
      for await (const { payload } of responses) {
        call.received(payload);
      }
      return;
    }
    case "ClientStream": {
      const response = client.clientStream(clientMessages(call), call.options);
      return call.received((await response).payload);
    }
    case "BidiStream":
      return bidi(client, call);
    default:
      throw new Error(`there is no RPC ${method}`);
  }
}

async function* clientMessages(call: Call) {
  for (const message of call.all(ClientStreamRequestSchema)) {
    await call.delayMessage();
    yield message;
  }
  call.cancelBeforeCloseSend();
  call.cancelAfterSend();
}

async function bidi(client: Client<typeof ConformanceService>, call: Call): Promise<void> {
  const requests = createWritableIterable<BidiStreamRequest>();
  const responses = client.bidiStream(requests, call.options)[Symbol.asyncIterator]();
  const receive = async (): Promise<boolean> => {
    const { done, value } = await responses.next();
    if (done !== true) {
      call.received(value.payload);
    }
    return done !== true;
  };
  for (const message of call.all(BidiStreamRequestSchema)) {
    await call.delayMessage();
    await requests.write(message);
    if (call.request.streamType === StreamType.FULL_DUPLEX_BIDI_STREAM) {
      call.cancelAfterResponses();
      await receive();
    }
  }
  call.cancelBeforeCloseSend();
  requests.close();
  call.cancelAfterSend();
  call.cancelAfterResponses();
  while (await receive()) {
    // Until the stream ends.
  }
}

/** One call: what it is made of, when it is cancelled, and what came back. */
class Call {
  readonly request: ClientCompatRequest;
  readonly options: CallOptions;
  readonly result = create(ClientResponseResultSchema);
  readonly #controller = new AbortController();

  constructor(request: ClientCompatRequest) {
    this.request = request;
    const headers = new Headers();
    appendHeaders(headers, request.requestHeaders);
    // It is the authenticated client that has to present this one.
    headers.delete(sessionHeader);
    this.options = {
      headers,
      signal: this.#controller.signal,
      onHeader: (header) => {
        this.result.responseHeaders = headerList(header);
      },
      onTrailer: (trailer) => {
        this.result.responseTrailers = headerList(trailer);
      },
      ...(request.timeoutMs === undefined ? {} : { timeoutMs: request.timeoutMs }),
    };
  }

  only<D extends DescMessage>(schema: D): MessageShape<D> {
    const [message, ...more] = this.all(schema);
    if (message === undefined || more.length > 0) {
      throw new Error(`${this.request.testName} has not exactly one message`);
    }
    return message;
  }

  all<D extends DescMessage>(schema: D): MessageShape<D>[] {
    return this.request.requestMessages.map((packed) => {
      const message = create(schema);
      if (anyUnpackTo(packed, schema, message) === undefined) {
        throw new Error(`${this.request.testName} has a message of another type`);
      }
      return message;
    });
  }

  async delayMessage(): Promise<void> {
    await delay(this.request.requestDelayMs);
  }

  received(payload: ConformancePayload | undefined): void {
    this.result.payloads.push(payload ?? create(ConformancePayloadSchema));
    this.cancelAfterResponses();
  }

  failed(error: ConnectError): void {
    const metadata = headerList(error.metadata);
    // Where connect tells headers and trailers of a failed call, it tells them
    // together; the runner takes either for both.
    if (this.result.responseHeaders.length === 0) {
      this.result.responseHeaders = metadata;
    }
    if (this.result.responseTrailers.length === 0) {
      this.result.responseTrailers = metadata;
    }
    this.result.error = rpcErrorOf(error);
  }

  cancelBeforeCloseSend(): void {
    if (this.request.cancel?.cancelTiming.case === "beforeCloseSend") {
      this.#controller.abort();
    }
  }

  cancelAfterSend(): void {
    const timing = this.request.cancel?.cancelTiming;
    if (timing?.case === "afterCloseSendMs") {
      setTimeout(() => this.#controller.abort(), timing.value);
    }
  }

  cancelAfterResponses(): void {
    const timing = this.request.cancel?.cancelTiming;
    if (timing?.case === "afterNumResponses" && timing.value === this.result.payloads.length) {
      this.#controller.abort();
    }
  }
}
