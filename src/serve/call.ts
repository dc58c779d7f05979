import type { Exchange } from "./exchange.ts";
import type { RequestHead } from "./request-head.ts";
import type { RequestShape } from "./request-shape.ts";

/** One call on its way to a handler. */
export interface Call {
  readonly exchange: Exchange;
  readonly head: RequestHead;
  readonly shape: RequestShape;
  /** Headers that the answer carries, whoever gives it. */
  readonly answerHeaders: readonly (readonly [string, string])[];
}
