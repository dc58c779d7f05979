import type { ClientHttp2Session } from "node:http2";
import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextKey,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { type DecisionEvent, refusal, service } from "countersign";
import { type ServeOptions, type Server, serve } from "countersign/serve";
import {
  OpenSessionRequestSchema,
  OpenSessionResponseSchema,
  SendLetterRequestSchema,
} from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { mailboxPolicy, token } from "./mailbox-server.ts";
import {
  type Http2Answer,
  openHttp2,
  sendBytes,
  withoutDate,
  withoutDateField,
} from "./raw-http.ts";

type Extra = Omit<Partial<ServeOptions<readonly []>>, "services" | "verifiers">;

/** One server, and what its handlers saw. */
interface OneServer {
  readonly server: Server;
  /** What handlers and observers noted, in order. */
  readonly notes: string[];
}

/** A header list for HTTP/2, the pseudo headers left out. */
export type RequestHeaders = Readonly<Record<string, string | string[]>>;

/** A request to both servers. */
export interface PairedRequest {
  /** Name of the RPC. */
  readonly rpc: string;
  readonly headers: RequestHeaders;
  /** Pieces of the body, each in a DATA frame of its own. */
  readonly body: readonly Uint8Array[];
  /** Whether the request never ends. */
  readonly isEndless?: boolean;
}

/** What came back from one of the servers, and what happened in it. */
export interface PairedAnswer {
  readonly answer: Http2Answer | string;
  readonly notes: readonly string[];
  readonly counters: readonly string[];
}

/** Two servers that differ in nothing but the path that unary calls take. */
export interface ServerPair extends AsyncDisposable {
  /** Sends a request to both over HTTP/2. */
  ask(request: PairedRequest): Promise<{ lean: PairedAnswer; connect: PairedAnswer }>;
  /** Sends the bytes of an HTTP/1.1 request to both. */
  askOverHttp1(request: string): Promise<{ lean: PairedAnswer; connect: PairedAnswer }>;
}

/** An interceptor's value, for handlers to find. */
const visitKey = createContextKey("none", { description: "visit" });

/** Notes what an interceptor sees, and changes a little of it. */
export const noting =
  (notes: (note: string) => void): Interceptor =>
  (next) => {
    let calls = 0;
    return async (request) => {
      calls++;
      request.contextValues.set(visitKey, "interceptor");
      request.header.set("x-added", "by an interceptor");
      notes(
        `interceptor ${calls} ${request.method.name} ${request.requestMethod} ${request.stream} ` +
          `${new URL(request.url).pathname} ${[...request.header.keys()]}`,
      );
      const response = await next(request);
      response.header.set("x-header-of-interceptor", "1");
      response.trailer.set("x-trailer-of-interceptor", "2");
      // Other objects than those that came: they replace them.
      return { ...response, header: new Headers(response.header) };
    };
  };

async function startServer(
  leanPath: boolean,
  extra: Extra,
  intercepts: boolean,
): Promise<OneServer> {
  const notes: string[] = [];
  const handler = (text: string, context: HandlerContext) => act(text, context, notes);
  const server = await serve({
    ...extra,
    port: 0,
    leanPath,
    ...(intercepts ? { interceptors: [noting((note) => notes.push(note))] } : {}),
    onDecision: ({ method, credential, reason, cause }: DecisionEvent) =>
      notes.push(`refused ${method} ${credential} ${reason} ${cause === undefined}`),
    services: [
      service(mailboxPolicy, {
        getBulletin: () => ({ text: "hello" }),
        openSession: ({ key }, context) => {
          const session = handler(key, context);
          return session instanceof Promise
            ? session.then((later) => ({ session: later }))
            : { session };
        },
        countLetters: (request, context) => {
          notes.push(`count ${Object.keys(request)} ${context.caller.mailboxId}`);
          return { count: 3 };
        },
        sendLetter: ({ letter }, context) => {
          notes.push(`caller ${context.caller.credential} ${context.caller.mailboxId}`);
          handler(letter?.text ?? "", context);
          return { mailboxId: context.caller.mailboxId };
        },
        watchLetters: async function* () {
          yield { letter: { text: "one" } };
        },
        importLetters: async () => ({ count: 1 }),
        converse: async function* () {},
      }),
    ],
    verifiers: {
      session: (presented, call) => {
        notes.push(`verify ${call.method.name} ${call.isRecheck} ${call.isProbe}`);
        if (presented === "throws") {
          throw new Error("no");
        }
        const claims =
          presented === token || presented === "slow" ? { mailboxId: 7n } : refusal("unknown");
        return presented === "slow" ? Promise.resolve(claims) : claims;
      },
    },
  });
  return { server, notes };
}

/** What a handler can do to its call, by the text of the request. */
function act(text: string, context: HandlerContext, notes: string[]): string | Promise<string> {
  notes.push(`handler ${text.slice(0, 20)}`);
  switch (text) {
    case "error":
      throw new Error("secret of the handler");
    case "undefined":
      throw undefined;
    case "rejected undefined":
      return Promise.reject(undefined);
    case "not found":
      throw new ConnectError("nö such lettér %", Code.NotFound);
    case "empty text":
      throw new ConnectError("", Code.Internal);
    case "half a character":
      throw new ConnectError("\ud800", Code.Internal);
    case "details":
      context.responseTrailer.set("x-mine", "kept");
      throw new ConnectError(
        "with details",
        Code.Aborted,
        { "x-meta": "a", "x-meta-bin": "AAEC" },
        [{ desc: OpenSessionResponseSchema, value: { session: "detail" } }],
      );
    case "metadata of the protocol":
      throw new ConnectError("meta", Code.Aborted, {
        "grpc-status": "3",
        "content-type": "text/plain",
        "x-meta": "b",
      });
    case "later error":
      return Promise.reject(new ConnectError("later", Code.Unavailable));
    case "headers":
      context.responseHeader.set("x-header", "one");
      context.responseHeader.append("x-header", "two");
      context.responseHeader.append("set-cookie", "a=1");
      context.responseHeader.append("set-cookie", "b=2");
      context.responseHeader.set("cache-control", "max-age=1");
      context.responseTrailer.set("x-trailer", "three");
      context.responseTrailer.set("grpc-message", "fine");
      return "set";
    case "content type":
      context.responseHeader.set("content-type", "text/plain");
      context.responseTrailer.delete("grpc-status");
      return "set";
    case "forbidden header":
      context.responseHeader.set("connection", "close");
      return "set";
    case "forbidden trailer":
      context.responseTrailer.set("connection", "close");
      return "set";
    case "long trailer":
      context.responseTrailer.set("x-long", "long ".repeat(500));
      return "set";
    case "large":
      return "large ".repeat(1000);
    case "too large":
      return "x".repeat(100_000);
    case "later":
      return new Promise((resolve) => setImmediate(() => resolve("later")));
    case "no string":
      return JSON.parse("7");
    case "context": {
      const copy = { ...context };
      const timeout = context.timeoutMs();
      notes.push(
        JSON.stringify({
          // Those that connect's types promise; connect's objects have more.
          names: Object.keys(copy)
            .filter((name) => contextNames.has(name))
            .sort(),
          same: [...contextNames].map(
            (name) => Reflect.get(copy, name) === Reflect.get(context, name),
          ),
          caller: Reflect.get(copy, "caller") === undefined,
          service: context.service.typeName,
          method: context.method.name,
          verb: context.requestMethod,
          protocol: context.protocolName,
          url: context.url,
          timeout: timeout === undefined ? "none" : timeout > 5_000 && timeout <= 10_000,
          requestHeader: [...context.requestHeader],
          responseHeader: [...context.responseHeader],
          responseTrailer: [...context.responseTrailer],
          aborted: context.signal.aborted,
          visit: context.values.get(visitKey),
        }),
      );
      return "seen";
    }
    case "deadline": {
      notes.push(`${context.signal.aborted} ${context.signal.reason}`);
      return new Promise((_, reject) => {
        const end = () => reject(context.signal.reason);
        context.signal.addEventListener("abort", end, { once: true });
        if (context.signal.aborted) {
          end();
        }
      });
    }
    case "after the end": {
      const { signal } = context;
      signal.addEventListener("abort", () => notes.push(`ended ${signal.reason?.name}`));
      return "ended";
    }
    default:
      return `echo ${text}`;
  }
}

const contextNames = new Set([
  "method",
  "service",
  "requestMethod",
  "protocolName",
  "url",
  "signal",
  "timeoutMs",
  "requestHeader",
  "responseHeader",
  "responseTrailer",
  "values",
]);

/** Starts both servers. */
export async function serveBothPaths(
  extra: Extra & { readonly intercepts?: boolean } = {},
): Promise<ServerPair> {
  const { intercepts = false, ...options } = extra;
  const lean = await startServer(true, options, intercepts);
  const connect = await startServer(false, options, intercepts);
  const [leanSession, connectSession] = [openHttp2(lean.server.url), openHttp2(connect.server.url)];
  return {
    ask: async (request) => ({
      lean: await observe(lean, () => send(leanSession, request)),
      connect: await observe(connect, () => send(connectSession, request)),
    }),
    askOverHttp1: async (request) => ({
      lean: await observe(lean, () => sendBytes(lean.server.port, request).then(withoutDate)),
      connect: await observe(connect, () =>
        sendBytes(connect.server.port, request).then(withoutDate),
      ),
    }),
    [Symbol.asyncDispose]: async () => {
      leanSession.destroy();
      connectSession.destroy();
      await Promise.all([lean.server.close({ graceMs: 1 }), connect.server.close({ graceMs: 1 })]);
    },
  };
}

async function observe(
  { server, notes }: OneServer,
  call: () => Promise<PairedAnswer["answer"]>,
): Promise<PairedAnswer> {
  notes.length = 0;
  const before = new Map(
    server.counters().map((count) => [`${count.service} ${count.method}`, count]),
  );
  const answer = await call();
  const counters = server.counters().map(({ service, method, allowed, refused }) => {
    const old = before.get(`${service} ${method}`);
    return `${method} ${allowed - (old?.allowed ?? 0)} ${refused - (old?.refused ?? 0)}`;
  });
  return { answer, notes: [...notes], counters };
}

async function send(session: ClientHttp2Session, request: PairedRequest): Promise<Http2Answer> {
  const stream = session.request({
    ":method": "POST",
    ":path": `/countersign.example.v1.Mailbox/${request.rpc}`,
    ":authority": "mailbox.test",
    ...request.headers,
  });
  const chunks: Buffer[] = [];
  let headers: string[] = [];
  let trailers: string[] = [];
  stream.on("error", () => {});
  stream.on("response", (_headers, _flags, flat: string[]) => {
    headers = withoutDateField(flat);
  });
  stream.on("trailers", (_headers, _flags, flat: string[]) => {
    trailers = flat;
  });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  for (const piece of request.body) {
    stream.write(piece);
  }
  if (request.isEndless !== true) {
    stream.end();
  }
  // Not once(): a call that breaks has come to something too.
  await new Promise((resolve) => stream.once("close", resolve));
  const body = Buffer.concat(chunks).toString("latin1");
  return { headers, body, trailers, resetCode: stream.rstCode };
}

/** A framed message; flags 0 unless given. */
export function framed(data: Uint8Array, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(data.length, 1);
  return Buffer.concat([prefix, data]);
}

/** A request of OpenSession, by which a handler is told what to do. */
export function openSession(key: string): Uint8Array {
  return toBinary(OpenSessionRequestSchema, create(OpenSessionRequestSchema, { key }));
}

/** The same as JSON. */
export function openSessionJson(key: string): Uint8Array {
  return Buffer.from(
    toJsonString(OpenSessionRequestSchema, create(OpenSessionRequestSchema, { key })),
  );
}

/** A request of SendLetter. */
export function sendLetter(text: string, mailboxId = 0n, session = ""): Uint8Array {
  const init = { mailboxId, session, letter: { text } };
  return toBinary(SendLetterRequestSchema, create(SendLetterRequestSchema, init));
}
