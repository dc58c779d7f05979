/** Servers with one thing wrong each, on purpose. */
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { credential, definePolicy, open, requires, service } from "countersign";
import { serve } from "countersign/serve";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { listen } from "../client/mailbox.ts";
import { mailboxPolicy, token } from "../serve/mailbox-server.ts";

/** A server to attack, and how often a handler of it ran. */
export interface BadServer extends AsyncDisposable {
  readonly url: string;
  countHandlerRuns(): number;
}

/** Handlers that count their runs. */
function countingHandlers() {
  let runs = 0;
  const ran = () => {
    runs++;
    return {};
  };
  return {
    countHandlerRuns: () => runs,
    handlers: {
      getBulletin: ran,
      openSession: ran,
      countLetters: ran,
      sendLetter: ran,
      watchLetters: async function* () {
        yield ran();
      },
      importLetters: async (requests: AsyncIterable<unknown>) => {
        ran();
        for await (const _ of requests);
        return {};
      },
      converse: async function* (requests: AsyncIterable<unknown>) {
        ran();
        for await (const _ of requests) yield {};
      },
    },
  };
}

const verifiers = {
  session: (presented: string) => (presented === token ? { mailboxId: 7n } : undefined),
};

/** Guarded, but one RPC is open that the other table protects. */
export async function withOpenRpc(): Promise<BadServer> {
  const { handlers, countHandlerRuns } = countingHandlers();
  const policy = definePolicy(Mailbox, { ...mailboxPolicy.rules, countLetters: open });
  const server = await serve({ services: [service(policy, handlers)], verifiers, port: 0 });
  return { url: server.url, countHandlerRuns, [Symbol.asyncDispose]: () => server.close() };
}

/** Guarded, but with a credential that binds nothing. */
export async function withoutBinding(): Promise<BadServer> {
  const { handlers, countHandlerRuns } = countingHandlers();
  const loose = credential("session", {
    header: "mailbox-session",
    claims: { mailboxId: { kind: "bigint", binds: [] } },
  });
  const policy = definePolicy(Mailbox, {
    ...mailboxPolicy.rules,
    countLetters: requires(loose),
    sendLetter: requires(loose),
    watchLetters: requires(loose),
    importLetters: requires(loose),
    converse: requires(loose),
  });
  const server = await serve({ services: [service(policy, handlers)], verifiers, port: 0 });
  return { url: server.url, countHandlerRuns, [Symbol.asyncDispose]: () => server.close() };
}

/** Bound, but for one field: the credential does not know that a body may repeat its secret. */
export async function withoutSecretField(): Promise<BadServer> {
  const { handlers, countHandlerRuns } = countingHandlers();
  const forgetful = credential("session", {
    header: "mailbox-session",
    claims: { mailboxId: "bigint" },
  });
  const policy = definePolicy(Mailbox, {
    ...mailboxPolicy.rules,
    countLetters: requires(forgetful),
    sendLetter: requires(forgetful),
    watchLetters: requires(forgetful),
    importLetters: requires(forgetful),
    converse: requires(forgetful),
  });
  const server = await serve({ services: [service(policy, handlers)], verifiers, port: 0 });
  return { url: server.url, countHandlerRuns, [Symbol.asyncDispose]: () => server.close() };
}

/** What decides about a call by its header, and throws to refuse. */
type Check = (value: string | null) => void;

const refused = () => new ConnectError("Authentication failed.", Code.Unauthenticated);

/** Refuses as it must; what is wrong is when it is asked. */
export const strictly: Check = (value) => {
  if (value !== token) throw refused();
};

/** Refuses with a text for each cause. */
export const withATextForEachCause: Check = (value) => {
  if (value === null) throw new ConnectError("Missing token.", Code.Unauthenticated);
  if (value !== token) throw new ConnectError("Invalid token.", Code.Unauthenticated);
};

/** Takes the first of several values that were joined with a comma. */
export const byTheFirstValue: Check = (value) => {
  if (value?.split(", ")[0] !== token) throw refused();
};

/** Looks at letters only, not at their case. */
export const whateverTheCase: Check = (value) => {
  if (value?.toLowerCase() !== token.toLowerCase()) throw refused();
};

/** Takes calls without the header for calls of its own. */
export const onlyIfPresent: Check = (value) => {
  if (value !== null && value !== token) throw refused();
};

/** An unguarded server whose interceptor checks the header: connect has read and decoded a unary body before. */
export async function withInterceptor(check: Check): Promise<BadServer> {
  const { handlers, countHandlerRuns } = countingHandlers();
  const interceptor: Interceptor = (next) => (request) => {
    if (
      request.method !== Mailbox.method.getBulletin &&
      request.method !== Mailbox.method.openSession
    ) {
      check(request.header.get("mailbox-session"));
    }
    return next(request);
  };
  return onHttp2(
    (router) => router.service(Mailbox, handlers, { interceptors: [interceptor] }),
    countHandlerRuns,
  );
}

/** An unguarded server whose handlers refuse: they run for everybody. */
export async function withCheckInHandlers(): Promise<BadServer> {
  const { handlers, countHandlerRuns } = countingHandlers();
  const countLetters = (_: unknown, { requestHeader }: HandlerContext) => {
    handlers.countLetters();
    strictly(requestHeader.get("mailbox-session"));
    return {};
  };
  const sendLetter = countLetters;
  return onHttp2(
    (router) => router.service(Mailbox, { ...handlers, countLetters, sendLetter }),
    countHandlerRuns,
  );
}

async function onHttp2(
  routes: (router: ConnectRouter) => void,
  countHandlerRuns: () => number,
): Promise<BadServer> {
  const server = await listen("2", connectNodeAdapter({ routes }));
  return { url: server.url, countHandlerRuns, [Symbol.asyncDispose]: () => server.close() };
}

/** What is wrong with {@link refusingServer}. */
export interface RefusingServerOptions {
  /** Reads the whole body before it answers. */
  readonly awaitsBody?: boolean;
  /** Answers at once, and goes on reading. */
  readonly drains?: boolean;
  /** Has a header more for the RPCs that exist. */
  readonly tellsWhatExists?: boolean;
}

/** A server by hand that refuses every Connect JSON call, as it must but for what is wrong. */
export async function refusingServer(options: RefusingServerOptions): Promise<BadServer> {
  const error = { code: "unauthenticated", message: "Authentication failed." };
  const end = Buffer.from(JSON.stringify({ error }));
  const envelope = Buffer.alloc(5);
  envelope.writeUInt8(2);
  envelope.writeUInt32BE(end.byteLength, 1);
  const names: ReadonlySet<string> = new Set(Mailbox.methods.map(({ name }) => name));
  const server = await listen("2", (request, response) => {
    const type = request.headers["content-type"] ?? "";
    const isRpc = request.method === "POST" && /^application\/(connect\+)?json$/.test(type);
    const answer = () => {
      if (options.tellsWhatExists && names.has(request.url?.split("/").at(-1) ?? "")) {
        response.setHeader("x-ratelimit-limit", "5");
      }
      const isStream = type.includes("connect");
      response.statusCode = !isRpc ? 415 : isStream ? 200 : 401;
      if (isRpc) {
        response.setHeader("content-type", type);
      }
      const body = isStream ? Buffer.concat([envelope, end]) : JSON.stringify(error);
      response.end(isRpc ? body : "");
    };
    if (options.awaitsBody) {
      request.once("end", answer);
    } else {
      answer();
    }
    if (options.drains || options.awaitsBody) {
      request.resume();
    }
  });
  return {
    url: server.url,
    countHandlerRuns: () => 0,
    [Symbol.asyncDispose]: () => server.close(),
  };
}
