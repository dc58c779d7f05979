import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { type ContextValues, createContextValues, type HandlerContext } from "@connectrpc/connect";
import type { Call } from "./call.ts";
import type { CallSignal } from "./call-signal.ts";
import { joinHeaders } from "./join-headers.ts";

/** What the context of a handler is made of. */
export interface ContextSource {
  readonly method: DescMethod;
  readonly protocolName: string;
  readonly call: Call;
  readonly callSignal: CallSignal;
  /** Headers of the request that the handler does not see. */
  readonly hiddenHeaders: readonly string[];
  /** Returns what the headers of the answer begin with. */
  initialHeader(): Headers;
}

/** The names that a context has, as in one of connect's. */
const names = [
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
] as const;

/** The context of a handler, whose parts are made when they are asked for. */
export class UnaryContext implements HandlerContext {
  // Private by name: it holds the request's headers, secrets included, and
  // contexts get logged.
  readonly #source: ContextSource;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;
  #timeoutMs: (() => number | undefined) | undefined;

  constructor(source: ContextSource) {
    this.#source = source;
  }

  /** The headers of the answer, if somebody asked for them. */
  static responseHeaderOf(context: UnaryContext): Headers | undefined {
    return context.#responseHeader;
  }

  /** The trailers of the answer, if somebody asked for them. */
  static responseTrailerOf(context: UnaryContext): Headers | undefined {
    return context.#responseTrailer;
  }

  get method(): DescMethod {
    return this.#source.method;
  }

  get service(): DescService {
    return this.#source.method.parent;
  }

  get requestMethod(): string {
    return this.#source.call.exchange.method;
  }

  get protocolName(): string {
    return this.#source.protocolName;
  }

  get url(): string {
    return this.#source.call.head.url;
  }

  get signal(): AbortSignal {
    return this.#source.callSignal.signal;
  }

  get timeoutMs(): () => number | undefined {
    this.#timeoutMs ??= () => this.#source.callSignal.timeoutMs;
    return this.#timeoutMs;
  }

  get requestHeader(): Headers {
    if (this.#requestHeader === undefined) {
      const { call, hiddenHeaders } = this.#source;
      this.#requestHeader = joinHeaders(
        call.exchange.headers.pairs().filter(([name]) => !hiddenHeaders.includes(name)),
      );
    }
    return this.#requestHeader;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= this.#source.initialHeader();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers({ "grpc-status": "0" });
    return this.#responseTrailer;
  }

  get values(): ContextValues {
    this.#values ??= createContextValues();
    return this.#values;
  }
}

/** The context of a handler of a protected RPC. */
export class ProtectedContext extends UnaryContext {
  readonly caller: object;

  constructor(source: ContextSource, caller: object) {
    super(source);
    this.caller = caller;
  }
}

/**
 * Wraps a context so that it looks like connect's, a plain object with
 * properties of its own, also to those who copy or list them.
 */
export function plainContext(context: UnaryContext): HandlerContext {
  return new Proxy(context, plainTraps);
}

const plainTraps: ProxyHandler<UnaryContext> = {
  // The context is the receiver: its getters reach private fields, which the proxy has not.
  get: (context, name) => Reflect.get(context, name, context),
  set: (context, name, value) => define(context, name, value),
  ownKeys: (context) => Reflect.ownKeys(filled(context)),
  getOwnPropertyDescriptor: (context, name) =>
    Reflect.getOwnPropertyDescriptor(filled(context), name),
  defineProperty: (context, name, property) =>
    Reflect.defineProperty(filled(context), name, property),
  deleteProperty: (context, name) => Reflect.deleteProperty(filled(context), name),
  getPrototypeOf: () => Object.prototype,
};

/** Makes every part of a context, and a property of it. */
function filled(context: UnaryContext): UnaryContext {
  for (const name of names) {
    if (!Object.hasOwn(context, name)) {
      define(context, name, context[name]);
    }
  }
  return context;
}

function define(context: UnaryContext, name: string | symbol, value: unknown): boolean {
  return Reflect.defineProperty(context, name, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}
