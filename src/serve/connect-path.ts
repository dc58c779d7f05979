import { type ConnectError, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { rawHeadersKey } from "../guard/verdict.ts";
import type { Call } from "./call.ts";
import { decoyErrorKey } from "./decoy.ts";
import type { AnswerManner } from "./exchange.ts";
import { connectionKey } from "./health.ts";
import { joinHeaders } from "./join-headers.ts";

/** What differs from call to call through connect's handlers. */
export interface ConnectPathOptions {
  /** The request's body. */
  readonly body: AsyncIterable<Uint8Array>;
  /** What the handler refuses with, if it is a decoy. */
  readonly decoyError?: ConnectError | undefined;
  /** How the answer is sent, if it may be large. */
  readonly manner?: AnswerManner;
}

/**
 * Answers a call through one of connect's handlers, which does everything that
 * its protocol asks for.
 */
export async function callThroughConnect(
  handler: UniversalHandler,
  { exchange, head, answerHeaders }: Call,
  { body, decoyError, manner }: ConnectPathOptions,
): Promise<void> {
  const rawHeaders = exchange.headers.pairs();
  const response = await handler({
    httpVersion: exchange.httpVersion,
    method: exchange.method,
    url: head.url,
    header: joinHeaders(rawHeaders),
    body,
    signal: exchange.signal,
    contextValues: createContextValues()
      .set(rawHeadersKey, rawHeaders)
      .set(connectionKey, exchange.connection)
      .set(decoyErrorKey, decoyError),
  });
  const header = joinHeaders(new Headers(response.header), answerHeaders);
  await exchange.answer({ ...response, header }, manner);
}
