import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { AnyPolicy, CallerOf, Fault, Policy, RequestUnder } from "../policy/policy.ts";
import type { ProtectedRule } from "../policy/rule.ts";

const unimplementedMark: unique symbol = Symbol.for("countersign.unimplemented");

/** The type of {@link unimplemented}. */
export interface Unimplemented {
  readonly [unimplementedMark]: true;
}

/**
 * The handler value that says on purpose: this RPC is classified but not served
 * yet. Callers that pass the guard get code `unimplemented`.
 */
export const unimplemented: Unimplemented = Object.freeze({ [unimplementedMark]: true as const });

/** Tells whether a handler is {@link unimplemented}. */
export function isUnimplemented(handler: unknown): handler is Unimplemented {
  return typeof handler === "object" && handler !== null && unimplementedMark in handler;
}

/**
 * The context of a handler: connect's, and for a protected RPC the `caller`
 * that the guard verified. The handler of an open RPC has no `caller`.
 */
export type ContextUnder<R> =
  R extends ProtectedRule<infer C>
    ? HandlerContext & { readonly caller: CallerOf<C[number]> }
    : HandlerContext;

type Answer<M extends DescMethod> = MessageInitShape<M["output"]>;

/** The handler of an RPC under a rule, with connect's signature for the RPC's kind. */
export type HandlerUnder<R, M extends DescMethod> = M["methodKind"] extends "unary"
  ? (request: RequestUnder<R, M>, context: ContextUnder<R>) => Answer<M> | Promise<Answer<M>>
  : M["methodKind"] extends "server_streaming"
    ? (request: RequestUnder<R, M>, context: ContextUnder<R>) => AsyncIterable<Answer<M>>
    : M["methodKind"] extends "client_streaming"
      ? (
          requests: AsyncIterable<RequestUnder<R, M>>,
          context: ContextUnder<R>,
        ) => Promise<Answer<M>>
      : M["methodKind"] extends "bidi_streaming"
        ? (
            requests: AsyncIterable<RequestUnder<R, M>>,
            context: ContextUnder<R>,
          ) => AsyncIterable<Answer<M>>
        : never;

type MethodKey<P extends AnyPolicy> = keyof P["service"]["method"] & keyof P["rules"];

/** The handler of one RPC of a policy, for code that lives apart from the table. */
export type HandlerOf<P extends AnyPolicy, K extends MethodKey<P>> = HandlerUnder<
  P["rules"][K],
  P["service"]["method"][K]
>;

/** A handler, or {@link unimplemented}, for every RPC of a policy. */
export type HandlersOf<P extends AnyPolicy> = {
  readonly [K in MethodKey<P>]: HandlerOf<P, K> | Unimplemented;
};

/** Refuses handlers of RPCs that the service does not have. */
type NoOthers<P extends AnyPolicy, H> = {
  readonly [K in Exclude<keyof H, MethodKey<P>>]: H[K] extends AnyHandler | Unimplemented
    ? Fault<`the service has no RPC ${K & string}`>
    : unknown;
};

/** A handler whose types are not looked at. */
export type AnyHandler = (request: never, context: never) => unknown;

/** A policy together with the handlers of its RPCs. Made by {@link service}. */
export interface Service<P extends AnyPolicy = AnyPolicy> {
  /** The policy that classifies the RPCs. */
  readonly policy: P;
  /** The handler of every RPC. */
  readonly handlers: ReadonlyMap<DescMethod, AnyHandler | Unimplemented>;
  /** Sizes given in {@link ServiceOptions.readMaxBytes}. */
  readonly readMaxBytes: ReadonlyMap<DescMethod, number>;
}

/** Any service. */
export type AnyService = Service;

/** What differs from the guard's defaults for the RPCs of one service. */
export interface ServiceOptions<P extends AnyPolicy> {
  /** The largest request message of an RPC, in bytes, where it is not the guard's default. */
  readonly readMaxBytes?: { readonly [K in MethodKey<P>]?: number };
}

/**
 * Puts handlers to a policy. Every RPC needs one, or {@link unimplemented}.
 * Handlers given as methods of an object keep their `this`.
 *
 * @throws TypeError if an RPC has no handler, a handler's name is none of the
 * service's RPCs, or a size is not a whole number of bytes from 1 to 4 GiB - 1.
 */
export function service<P extends Policy, H extends Partial<HandlersOf<P>>>(
  policy: P,
  // A conditional, so that the compiler prints the sentence in place of every
  // handler's type. HandlersOf gives handlers written in place their parameters' types.
  handlers: [Exclude<MethodKey<P>, keyof H>] extends [never]
    ? H & HandlersOf<P> & NoOthers<P, H>
    : `${Exclude<MethodKey<P>, keyof H> & string} needs a handler, or unimplemented`,
  options?: ServiceOptions<P>,
): Service<P>;
export function service<P extends Policy>(
  policy: P,
  handlers: HandlersOf<P>,
  options: ServiceOptions<P> = {},
): Service<P> {
  const where = `service ${policy.service.typeName}`;
  const given = new Map(Object.entries(handlers));
  const table = new Map<DescMethod, AnyHandler | Unimplemented>();
  const readMaxBytes = new Map<DescMethod, number>();
  const sizes = new Map<string, unknown>(Object.entries(options.readMaxBytes ?? {}));
  for (const method of policy.service.methods) {
    const handler: unknown = given.get(method.localName) ?? inherited(handlers, method.localName);
    if (!isHandler(handler) && !isUnimplemented(handler)) {
      throw new TypeError(`${where}: ${method.localName} needs a handler, or unimplemented`);
    }
    table.set(method, isUnimplemented(handler) ? handler : handler.bind(handlers));
    given.delete(method.localName);
    const size = sizes.get(method.localName);
    if (size !== undefined) {
      readMaxBytes.set(
        method,
        checkedSize(`${where}: "readMaxBytes" of ${method.localName}`, size),
      );
    }
    sizes.delete(method.localName);
  }
  for (const [name, value] of given) {
    if (isHandler(value) || isUnimplemented(value)) {
      throw new TypeError(`${where} has no RPC ${name}`);
    }
  }
  for (const name of sizes.keys()) {
    throw new TypeError(`${where}: "readMaxBytes" names ${name}, which is no RPC of it`);
  }
  return Object.freeze({ policy, handlers: table, readMaxBytes });
}

/** A method that a class instance inherits; what plain objects inherit is no handler. */
function inherited(handlers: object, name: string): unknown {
  const value: unknown = Reflect.get(handlers, name);
  return value === Reflect.get(Object.prototype, name) ? undefined : value;
}

function isHandler(value: unknown): value is AnyHandler {
  return typeof value === "function";
}

/** The largest message that the gRPC framing can announce, in bytes. */
const maxMessageBytes = 0xffffffff;

/**
 * Returns the size of a message, given by a user for an option.
 *
 * @throws TypeError naming the option, if the value is not a whole number of
 * bytes from 1 to 4 GiB - 1.
 */
export function checkedSize(option: string, value: unknown): number {
  if (
    typeof value !== "number" ||
    !Number.isInteger(value) ||
    value < 1 ||
    value > maxMessageBytes
  ) {
    throw new TypeError(`${option} must be a whole number of bytes from 1 to ${maxMessageBytes}`);
  }
  return value;
}
