import type { Exchange } from "./exchange.ts";

/** What the head of a well-formed request says. */
export class RequestHead {
  /** Path without query, as it arrived: what RPCs are found by. */
  readonly path: string;
  readonly #authority: Authority;
  readonly #target: string;

  constructor(authority: Authority, target: string) {
    this.#authority = authority;
    this.#target = target;
    const queryAt = target.indexOf("?");
    this.path = queryAt === -1 ? target : target.slice(0, queryAt);
  }

  /** The whole URL. */
  get url(): string {
    return new URL(this.#authority.base + this.#target).href;
  }

  /** Host of the authority in lower case, without port; IPv6 in brackets. */
  get hostname(): string {
    return this.#authority.hostname;
  }

  /** Like {@link RequestHead.hostname}, with the port, be it the scheme's own. */
  get host(): string {
    return this.#authority.host;
  }

  /** Origin of pages that this server would serve under the authority. */
  get origin(): string {
    return this.#authority.origin;
  }
}

/** What an authority says. */
interface Authority {
  /** Scheme and authority, as they arrived. */
  readonly base: string;
  readonly hostname: string;
  readonly host: string;
  readonly origin: string;
}

/** An answer to a malformed head: an HTTP status. */
export type HeadFault = 400 | 431;

// A registered name, an IPv4 address or a bracketed IPv6 address, and a port
// (RFC 3986, section 3.2). No user, no percent encoding.
const authorityPattern = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/i;

// Origin form only (RFC 9112, section 3.2.1): visible ASCII without a fragment.
const targetPattern = /^\/[!"$-~]*$/;

/** How many authorities are remembered. A server has few; only hostile clients name more. */
const maxRemembered = 64;

/** Reads the heads of requests. */
export type HeadReader = (exchange: Exchange) => RequestHead | HeadFault;

/**
 * Makes what checks the things that Node and connect leave unchecked and then
 * throw on: the authority and the path. connect's adapter for Node ends the
 * process over an empty or an invalid Host.
 *
 * @returns a function that returns what a head says, or the status that answers
 * a malformed one.
 */
export function createHeadReader(scheme: "http" | "https", maxHeaderCount: number): HeadReader {
  const remembered = new Map<string, Authority>();
  const authorityOf = (text: string): Authority | undefined => {
    const known = remembered.get(text);
    if (known !== undefined) {
      return known;
    }
    const parsed = parseAuthority(scheme, text);
    if (parsed !== undefined && remembered.size < maxRemembered) {
      remembered.set(text, parsed);
    }
    return parsed;
  };
  return (exchange) => {
    if (exchange.headers.count > maxHeaderCount) {
      return 431;
    }
    const { authorities } = exchange;
    const text = authorities[0];
    // HTTP/1.1 refuses a repeated Host (RFC 9112, section 3.2); HTTP/2 may repeat
    // its authority as one (RFC 9113, section 8.3.1).
    const mayRepeat = exchange.httpVersion === "2.0" && authorities.length === 2;
    if (text === undefined || (authorities.length > 1 && !(mayRepeat && authorities[1] === text))) {
      return 400;
    }
    const authority = authorityOf(text);
    if (authority === undefined || !targetPattern.test(exchange.target)) {
      return 400;
    }
    return new RequestHead(authority, exchange.target);
  };
}

function parseAuthority(scheme: "http" | "https", text: string): Authority | undefined {
  const base = `${scheme}://${text}`;
  const url = authorityPattern.test(text) ? URL.parse(base) : null;
  if (url === null) {
    return undefined;
  }
  return {
    base,
    hostname: url.hostname,
    host: `${url.hostname}:${url.port || (scheme === "https" ? "443" : "80")}`,
    origin: url.origin,
  };
}
