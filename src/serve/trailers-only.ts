import type { OutgoingHttpHeaders } from "node:http";

/** What says how messages are compressed: nothing, where there are none. */
const encodingField = "grpc-encoding";

/** Fields of an answer's headers that no handler has to have set: gRPC's own, and those for browsers. */
const ownFields: ReadonlySet<string> = new Set([
  ":status",
  "content-type",
  encodingField,
  "vary",
  "access-control-allow-origin",
  "access-control-expose-headers",
]);

/**
 * Joins the headers and trailers of a gRPC answer that is an error without a
 * message into one header block, which ends the stream: gRPC's Trailers-Only
 * (PROTOCOL-HTTP2.md). All of it is trailing metadata for clients.
 *
 * @returns undefined where the answer needs two blocks: it is no error; a handler
 * has set headers, which must stay leading metadata; or both have a field of one name.
 */
export function trailersOnly(
  headers: OutgoingHttpHeaders,
  trailers: OutgoingHttpHeaders,
): OutgoingHttpHeaders | undefined {
  const status = trailers["grpc-status"];
  if (status === undefined || status === "0") {
    return undefined;
  }
  const block: OutgoingHttpHeaders = Object.create(null);
  for (const name in headers) {
    if (!ownFields.has(name) || name in trailers) {
      return undefined;
    }
    if (name !== encodingField) {
      block[name] = headers[name];
    }
  }
  return Object.assign(block, trailers);
}
