import type { Exchange } from "./exchange.ts";

/** What the head of a well-formed request says. */
export interface RequestHead {
  /** The whole URL. */
  readonly url: string;
  /** Path without query, as it arrived: what RPCs are found by. */
  readonly path: string;
  /** Host of the authority in lower case, without port; IPv6 in brackets. */
  readonly hostname: string;
  /** Like {@link RequestHead.hostname}, with the port, be it the scheme's own. */
  readonly host: string;
  /** Origin of pages that this server would serve under the authority. */
  readonly origin: string;
}

/** An answer to a malformed head: an HTTP status. */
export type HeadFault = 400 | 431;

// A registered name, an IPv4 address or a bracketed IPv6 address, and a port
// (RFC 3986, section 3.2). No user, no percent encoding.
const authorityPattern = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/i;

// Origin form only (RFC 9112, section 3.2.1): visible ASCII without a fragment.
const targetPattern = /^\/[!"$-~]*$/;

/**
 * Checks what Node and connect leave unchecked and then throw on: the
 * authority and the path. connect's adapter for Node ends the process over an
 * empty or an invalid Host.
 *
 * @returns what the head says, or the status that answers a malformed one.
 */
export function parseHead(exchange: Exchange, maxHeaderCount: number): RequestHead | HeadFault {
  if (exchange.rawHeaders.length > maxHeaderCount) {
    return 431;
  }
  const [authority, ...others] = exchange.authorities;
  if (authority === undefined || !authorityPattern.test(authority)) {
    return 400;
  }
  // HTTP/1.1 refuses a repeated Host (RFC 9112, section 3.2); HTTP/2 may repeat
  // its authority as one (RFC 9113, section 8.3.1).
  const mayRepeat = exchange.httpVersion === "2.0" && others.length === 1;
  if (others.length > 0 && !(mayRepeat && others[0] === authority)) {
    return 400;
  }
  if (!targetPattern.test(exchange.target)) {
    return 400;
  }
  const url = URL.parse(`${exchange.scheme}://${authority}${exchange.target}`);
  if (url === null) {
    return 400;
  }
  return {
    url: url.href,
    path: exchange.target.split("?", 1)[0] ?? "",
    hostname: url.hostname,
    host: `${url.hostname}:${url.port || (exchange.scheme === "https" ? "443" : "80")}`,
    origin: url.origin,
  };
}
