import type { ConnectError } from "@connectrpc/connect";
import { createContextValues } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { rawHeadersKey } from "../guard/verdict.ts";
import { decoyErrorKey } from "./decoy.ts";
import type { BodyLimit, Exchange } from "./exchange.ts";
import { connectionKey } from "./health.ts";
import { joinHeaders } from "./join-headers.ts";
import type { RequestHead } from "./request-head.ts";

/** One call on its way to a handler. */
export interface Call {
  readonly exchange: Exchange;
  readonly head: RequestHead;
  /** The request's headers, repeated ones joined. */
  readonly headers: Headers;
  /** Headers that the answer carries, whoever gives it. */
  readonly answerHeaders: readonly (readonly [string, string])[];
}

/**
 * Answers a call through one of connect's handlers, which does everything that
 * its protocol asks for.
 *
 * @param decoyError - what the handler refuses with, if it is a decoy.
 */
export async function callThroughConnect(
  handler: UniversalHandler,
  { exchange, head, headers, answerHeaders }: Call,
  bodyLimit: BodyLimit | undefined,
  decoyError?: ConnectError,
): Promise<void> {
  const response = await handler({
    httpVersion: exchange.httpVersion,
    method: exchange.method,
    url: head.url,
    header: headers,
    body: exchange.body(bodyLimit),
    signal: exchange.signal,
    contextValues: createContextValues()
      .set(rawHeadersKey, exchange.rawHeaders)
      .set(connectionKey, exchange.connection)
      .set(decoyErrorKey, decoyError),
  });
  const header = joinHeaders(new Headers(response.header), answerHeaders);
  await exchange.answer({ ...response, header });
}
