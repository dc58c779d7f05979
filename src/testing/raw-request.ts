import type { Column } from "./columns.ts";

/** Header names and values, in order; a name may come twice. */
export type HeaderEntries = readonly (readonly [name: string, value: string])[];

/**
 * What follows the bytes of a body:
 * - `end`: its end, be it all that was announced or not,
 * - `silence`: nothing, for as long as the call lasts,
 * - `flood`: zeros, until the server stops taking them or a limit is reached.
 */
export type AfterBody = "end" | "silence" | "flood";

/** A request as it goes out. */
export interface RawRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: HeaderEntries;
  readonly body: Uint8Array;
  readonly afterBody: AfterBody;
  /** The length that the headers announce, if it is not the body's. */
  readonly announcedBytes?: number;
}

/** Puts the five bytes before a message that gRPC, and Connect in streams, have there. */
export function envelope(message: Uint8Array, announcedBytes = message.byteLength): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(announcedBytes, 1);
  return Buffer.concat([head, message]);
}

/** The headers with which a column's requests begin. */
export function columnHeaders({ protocol, contentType }: Column): HeaderEntries {
  return [
    ...(contentType === undefined ? [] : [["content-type", contentType] as const]),
    ...(protocol === "gRPC" ? [["te", "trailers"] as const] : []),
  ];
}

/** A request in the way of a column, whose body holds these messages and ends well. */
export function requestWith(
  column: Column,
  path: string,
  messages: readonly Uint8Array[],
  credential: HeaderEntries,
): RawRequest {
  const afterBody = "end";
  if (column.protocol === "Connect GET") {
    const message = Buffer.concat(messages).toString("base64url");
    const query = `?connect=v1&encoding=proto&base64=1&message=${message}`;
    const body = new Uint8Array();
    return { method: "GET", target: path + query, headers: credential, body, afterBody };
  }
  const body = Buffer.concat(
    column.isEnveloped ? messages.map((message) => envelope(message)) : messages,
  );
  const headers = [...columnHeaders(column), ...credential];
  return { method: "POST", target: path, headers, body, afterBody };
}
