import { isIPv6 } from "node:net";
import {
  Code,
  ConnectError,
  type ConnectRouterOptions,
  createConnectRouter,
} from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import type { DecisionCount } from "../guard/decisions.ts";
import {
  type CheckedServices,
  type GuardSettings,
  guardOf,
  type VerifiersFor,
} from "../guard/guard.ts";
import type { AnyService } from "../guard/service.ts";
import { BodyClock } from "./body-clock.ts";
import { type BrowserOptions, createBrowserGate } from "./browsers.ts";
import { ByteBudget } from "./byte-budget.ts";
import { corsLists } from "./cors.ts";
import { createDecoys } from "./decoy.ts";
import { createDispatcher, type Dispatcher } from "./dispatch.ts";
import { AnswerHeads } from "./grpc-answer.ts";
import { createHealth } from "./health.ts";
import { resolveLimits, type ServeLimits, time } from "./limits.ts";
import { type Listener, listen, type ServeTls } from "./listener.ts";
import { withOversizeCode } from "./oversize-compression.ts";
import { createHeadReader } from "./request-head.ts";
import { createUnaryPaths } from "./unary-path.ts";
import { UnsentAnswers } from "./unsent-answers.ts";

/** Options of {@link serve}. */
export interface ServeOptions<S extends readonly AnyService[]> extends GuardSettings {
  /** The services to serve; each at most once. */
  readonly services: S & CheckedServices<S>;
  /** A verifier for every credential that the services require. */
  // NoInfer, so that the parameters of verifiers written in place get their types.
  readonly verifiers: NoInfer<VerifiersFor<S>>;
  /** Port to listen on; 0 takes a free one. */
  readonly port: number;
  /** Address to listen on. Default `127.0.0.1`: reachable from this machine only. */
  readonly host?: string;
  /** Certificate and key for TLS, and `requestCert` with `ca` for client certificates. Default: plaintext. */
  readonly tls?: ServeTls;
  /** Web pages that may call. Default: none; what a browser sends is refused. */
  readonly browsers?: BrowserOptions;
  /** Limits of the listener. Those of messages are `readMaxBytes` and `openReadMaxBytes`. */
  readonly limits?: ServeLimits;
  /**
   * Whether unary gRPC and gRPC-web calls take the lean path, past connect's
   * handlers. Answers are the same either way. Default true.
   */
  readonly leanPath?: boolean;
  /** Whether to serve gRPC's health service, which anybody may call. Default true. */
  readonly health?: boolean;
  /**
   * How JSON is read and written, as protobuf-es takes it. A `registry` of the
   * message types that travel in a `google.protobuf.Any` is needed for JSON that
   * has one; without it such a message is refused. Default: none.
   */
  readonly jsonOptions?: ConnectRouterOptions["jsonOptions"];
  /** Closes the server when aborted, as `close()` does. */
  readonly shutdownSignal?: AbortSignal;
}

/** Options of {@link Server.close}. */
export interface CloseOptions {
  /**
   * How long open calls may take to finish, in milliseconds. Then their
   * handlers' signals are aborted; what has no answer a quarter of a second
   * later is answered with Unavailable, and after another quarter every
   * connection is closed. Default 10,000.
   */
  readonly graceMs?: number;
}

/** A running server. Made by {@link serve}. */
export interface Server extends AsyncDisposable {
  /** Base URL for clients on this machine, such as `http://127.0.0.1:9091`. */
  readonly url: string;
  /** Number of the port. */
  readonly port: number;
  /** Returns how many calls of each RPC were allowed and refused. */
  counters(): readonly DecisionCount[];
  /**
   * Shuts down: health tells NOT_SERVING, open calls finish, new ones are
   * refused with Unavailable, and no connection is taken. Resolves when
   * everything is closed. A further call waits for the same shutdown.
   *
   * @throws TypeError if `graceMs` is no number of milliseconds.
   */
  close(options?: CloseOptions): Promise<void>;
}

/** How long handlers have to answer once their signals are aborted, and their answers to leave. */
const abortedMs = 250;

/**
 * Serves guarded services on one port, which speaks gRPC, gRPC-web and Connect,
 * over HTTP/1.1 and HTTP/2.
 *
 * ```ts
 * const server = await serve({
 *   services: [service(mailboxPolicy, handlers)],
 *   verifiers: { session: verifySession },
 *   port: 9091,
 * });
 * ```
 *
 * @throws TypeError for what {@link createGuard} refuses, and for a limit, an
 * origin or a host out of its range.
 * @throws the error of the operating system if the port cannot be opened, or
 * the certificate cannot be used.
 */
export async function serve<const S extends readonly AnyService[]>(
  options: ServeOptions<S>,
): Promise<Server> {
  const host = checkedHost(options.host ?? "127.0.0.1");
  assertPort(options.port);
  assertCertificate(options.tls);
  const health = options.health === false ? undefined : createHealth(() => limits.maxHealthWatches);
  const services: readonly AnyService[] =
    health === undefined ? options.services : [...options.services, health.service];
  const guard = guardOf(services, options.verifiers, options);
  const limits = resolveLimits(options.limits ?? {}, new Set(guard.methods));
  const lists = corsLists(services);
  const stopping = new AbortController();
  const compressions = [compressionGzip, compressionBrotli].map((compression) =>
    withOversizeCode(compression, limits.oversizeCode),
  );
  const budget = new ByteBudget(limits.maxBodyBytes);
  const routerOptions: ConnectRouterOptions = {
    acceptCompression: compressions,
    writeMaxBytes: limits.writeMaxBytes,
    shutdownSignal: stopping.signal,
    ...(options.jsonOptions === undefined ? {} : { jsonOptions: options.jsonOptions }),
  };
  const router = createConnectRouter(routerOptions);
  guard.routes(router);
  const makeUnaryPath = createUnaryPaths({
    heads: new AnswerHeads(),
    clock: new BodyClock(limits.bodyTimeoutMs),
    budget,
    shutdown: stopping.signal,
    oversizeCode: limits.oversizeCode,
    compressions,
    writeMaxBytes: limits.writeMaxBytes,
    jsonOptions: options.jsonOptions,
    isOpen: ({ method }) => guard.isOpen(method),
  });
  const unaryRoutes = options.leanPath === false ? [] : guard.unaryRoutes();
  const dispatcher = createDispatcher({
    guard,
    handlers: router.handlers,
    unaryPaths: new Map(unaryRoutes.map((route) => [route.method, makeUnaryPath(route)])),
    readHead: createHeadReader(options.tls === undefined ? "http" : "https", limits.maxHeaderCount),
    decoys: createDecoys(routerOptions),
    browserGate: createBrowserGate(options.browsers, lists),
    limits,
    budget,
    alwaysServed: new Set(health?.service.policy.service.methods),
  });
  const listener = await listen({
    port: options.port,
    host,
    tls: options.tls,
    limits,
    answers: new UnsentAnswers(limits.maxUnsentBytes, new BodyClock(limits.answerTimeoutMs)),
    onExchange: dispatcher.onExchange,
  });

  let closing: Promise<void> | undefined;
  const close = async (given: CloseOptions = {}): Promise<void> => {
    const graceMs = time("graceMs", given.graceMs, 10_000);
    closing ??= (async () => {
      health?.stop();
      dispatcher.drain();
      listener.drain();
      await shutDown(listener, dispatcher, stopping, graceMs);
    })();
    return closing;
  };
  closeOnAbort(options.shutdownSignal, close, listener.closed);
  return {
    url: `${options.tls === undefined ? "http" : "https"}://${urlHost(host)}:${listener.port}`,
    port: listener.port,
    counters: () => guard.counters(),
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

/** Waits for a drained listener to close, and makes it close when the time is over. */
async function shutDown(
  listener: Listener,
  dispatcher: Dispatcher,
  stopping: AbortController,
  graceMs: number,
): Promise<void> {
  const reason = new ConnectError("The server is shutting down.", Code.Unavailable);
  let timer = setTimeout(() => {
    stopping.abort(reason);
    timer = setTimeout(() => {
      dispatcher.abandon();
      timer = setTimeout(() => listener.destroy(), abortedMs);
    }, abortedMs);
  }, graceMs);
  await listener.closed;
  clearTimeout(timer);
}

function closeOnAbort(
  signal: AbortSignal | undefined,
  close: () => Promise<void>,
  closed: Promise<void>,
): void {
  const onAbort = () => void close();
  if (signal?.aborted === true) {
    onAbort();
  }
  signal?.addEventListener("abort", onAbort, { once: true });
  closed.then(() => signal?.removeEventListener("abort", onAbort));
}

/** @throws TypeError if a host is empty, which Node takes for every address of the machine. */
function checkedHost(host: unknown): string {
  if (typeof host !== "string" || host === "") {
    throw new TypeError('"host" must be an address or a name to listen on');
  }
  return host;
}

function assertPort(port: unknown): void {
  if (typeof port !== "number" || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new TypeError(`"port" must be an integer from 0 to 65535, not ${port}`);
  }
}

function assertCertificate(tls: ServeTls | undefined): void {
  const hasPair = tls?.cert !== undefined && tls.key !== undefined;
  if (tls !== undefined && !hasPair && tls.pfx === undefined && tls.SNICallback === undefined) {
    throw new TypeError('"tls" needs "cert" and "key", or "pfx", or "SNICallback"');
  }
}

/** A host as clients on this machine reach it. */
function urlHost(host: string): string {
  if (host === "0.0.0.0") {
    return "127.0.0.1";
  }
  const reachable = host === "::" ? "::1" : host;
  return isIPv6(reachable) ? `[${reachable}]` : reachable;
}
