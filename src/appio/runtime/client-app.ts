import type { Message } from "../objects/message.ts";
import type { AppSignal } from "./app-lifetime.ts";
import type { Context } from "./context.ts";
import { type AppCategory, defaultAction, isActionName, parseMessageType } from "./message-type.ts";

/** Answers one message: returns the reply, or a promise of it. */
export type ClientAppHandler = (
  message: Message,
  context: Context,
  lifetime: AppSignal,
) => Message | Promise<Message>;

/**
 * Stands between the runtime and a handler (Flower: mod). It may change the
 * message or the context, answer itself, or change the reply of `next`.
 */
export type ClientAppMod = (
  message: Message,
  context: Context,
  next: (message: Message, context: Context) => Promise<Message>,
) => Message | Promise<Message>;

/** Options of a {@link ClientApp} and of each of its handlers. */
export interface ClientAppOptions {
  /** Mods, the outermost first. Those of the app stand outside those of a handler. Default: none. */
  readonly mods?: readonly ClientAppMod[];
}

type Answer = (message: Message, context: Context, lifetime: AppSignal) => Promise<Message>;

const clientAppMark: unique symbol = Symbol.for("countersign.ClientApp");

/**
 * The client side of a federated app: handlers by message type. Each takes one
 * message and returns the reply to it.
 *
 * ```ts
 * export default new ClientApp()
 *   .train((message, context) => reply)
 *   .train("warmup", (message, context) => reply); // message type "train.warmup"
 * ```
 *
 * Each registration throws a TypeError when the message type is taken, or the
 * name is no identifier.
 */
export class ClientApp {
  readonly [clientAppMark] = true;
  readonly #mods: readonly ClientAppMod[];
  readonly #answers = new Map<string, Answer>();

  constructor(options: ClientAppOptions = {}) {
    this.#mods = [...(options.mods ?? [])];
  }

  /** Registers the handler of `train` messages. */
  train(handler: ClientAppHandler, options?: ClientAppOptions): this;
  /** Registers the handler of `train.<action>` messages. */
  train(action: string, handler: ClientAppHandler, options?: ClientAppOptions): this;
  train(
    first: string | ClientAppHandler,
    second?: ClientAppHandler | ClientAppOptions,
    third?: ClientAppOptions,
  ): this {
    return this.#register("train", first, second, third);
  }

  /** Registers the handler of `evaluate` messages. */
  evaluate(handler: ClientAppHandler, options?: ClientAppOptions): this;
  /** Registers the handler of `evaluate.<action>` messages. */
  evaluate(action: string, handler: ClientAppHandler, options?: ClientAppOptions): this;
  evaluate(
    first: string | ClientAppHandler,
    second?: ClientAppHandler | ClientAppOptions,
    third?: ClientAppOptions,
  ): this {
    return this.#register("evaluate", first, second, third);
  }

  /** Registers the handler of `query` messages. */
  query(handler: ClientAppHandler, options?: ClientAppOptions): this;
  /** Registers the handler of `query.<action>` messages. */
  query(action: string, handler: ClientAppHandler, options?: ClientAppOptions): this;
  query(
    first: string | ClientAppHandler,
    second?: ClientAppHandler | ClientAppOptions,
    third?: ClientAppOptions,
  ): this {
    return this.#register("query", first, second, third);
  }

  /**
   * Answers a message with the handler of its type.
   *
   * @throws TypeError when the message type is malformed or has no handler;
   * whatever the handler throws.
   */
  async answer(message: Message, context: Context, lifetime: AppSignal): Promise<Message> {
    const { category, action } = parseMessageType(message.metadata.messageType);
    const answer = this.#answers.get(`${category}.${action}`);
    if (answer === undefined) {
      throw new TypeError(`no ${category} handler is registered with the name "${action}"`);
    }
    return answer(message, context, lifetime);
  }

  #register(
    category: AppCategory,
    first: string | ClientAppHandler,
    second?: ClientAppHandler | ClientAppOptions,
    third?: ClientAppOptions,
  ): this {
    const [action, handler, options] =
      typeof first === "string" ? [first, second, third] : [defaultAction, first, second];
    if (!isActionName(action)) {
      throw new TypeError(`"action" must be an identifier, not ${JSON.stringify(action)}`);
    }
    if (typeof handler !== "function") {
      throw new TypeError(`"handler" of ${category}.${action} must be a function`);
    }
    if (typeof options === "function") {
      throw new TypeError(`"action" of a ${category} handler must be a string`);
    }
    const name = `${category}.${action}`;
    if (this.#answers.has(name)) {
      throw new TypeError(`this ClientApp has a ${category} handler named "${action}" already`);
    }
    this.#answers.set(name, withMods(handler, [...this.#mods, ...(options?.mods ?? [])]));
    return this;
  }
}

function withMods(handler: ClientAppHandler, mods: readonly ClientAppMod[]): Answer {
  return mods.reduceRight<Answer>(
    (next, mod) => async (message, context, lifetime) =>
      mod(message, context, (nextMessage, nextContext) => next(nextMessage, nextContext, lifetime)),
    async (message, context, lifetime) => handler(message, context, lifetime),
  );
}

/**
 * Tells whether a value, such as what a bundle's module exports, is a
 * ClientApp. One made by another copy of this package counts as well.
 */
export function isClientApp(value: unknown): value is ClientApp {
  return typeof value === "object" && value !== null && clientAppMark in value;
}
