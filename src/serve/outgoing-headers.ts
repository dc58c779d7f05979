import type { OutgoingHttpHeaders } from "node:http";

/** Converts headers for Node; fields that may not be joined, such as set-cookie, become lists. */
export function outgoingHeaders(headers: HeadersInit | undefined): OutgoingHttpHeaders {
  const fields: OutgoingHttpHeaders = Object.create(null);
  for (const [name, value] of new Headers(headers)) {
    const known = fields[name];
    fields[name] = known === undefined ? value : [known, value].flat().map(String);
  }
  return fields;
}
