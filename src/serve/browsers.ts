import { isIP } from "node:net";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { CorsLists } from "./cors.ts";
import type { Exchange } from "./exchange.ts";
import { joinHeaders } from "./join-headers.ts";
import type { RequestHead } from "./request-head.ts";

/** Which web pages may call a server. */
export interface BrowserOptions {
  /** Origins of the pages, such as `https://app.example.com`: exact, never `*`. */
  readonly origins: readonly string[];
  /**
   * Names under which pages reach the server, such as `api.example.com` or
   * `localhost:8080`; without a port, any port. A page that had its own name
   * resolved to this server (DNS rebinding) uses another name.
   */
  readonly hosts: readonly string[];
  /** Further headers that pages may send. Those of the protocols and credentials are known. */
  readonly allowedHeaders?: readonly string[];
  /** Further headers that pages may read, such as `trailer-` ones of unary Connect calls. */
  readonly exposedHeaders?: readonly string[];
  /** How long browsers may remember a preflight's answer, in seconds. Default 7,200. */
  readonly maxAgeSeconds?: number;
}

/** What becomes of a request: it is answered at once, or goes on and its answer carries headers. */
export type BrowserVerdict =
  | { readonly kind: "answer"; readonly response: UniversalServerResponse }
  | { readonly kind: "pass"; readonly headers: Fields };

type Fields = readonly (readonly [string, string])[];

/** What the pages of one origin are told. */
interface PageHeaders {
  /** That they may call. */
  readonly allowed: Fields;
  /** With every answer to a call: that, and which headers they may read. */
  readonly ofAnswers: Fields;
}

/** Judges a request by who may have caused it. */
export type BrowserGate = (exchange: Exchange, head: RequestHead) => BrowserVerdict;

/**
 * Makes the gate that keeps web pages out, except those that are listed. Any
 * page can send requests to a server on the same machine, so without options no
 * page is let in at all.
 *
 * @throws TypeError if an origin or a host is malformed or a wildcard, or one of the lists is empty.
 */
export function createBrowserGate(
  options: BrowserOptions | undefined,
  lists: CorsLists,
): BrowserGate {
  const origins = (options?.origins ?? []).map(checkedOrigin);
  const hosts = new Set((options?.hosts ?? []).map(checkedHost));
  if (options !== undefined && (origins.length === 0 || hosts.size === 0)) {
    throw new TypeError('"browsers" needs at least one of "origins" and one of "hosts"');
  }
  const maxAgeSeconds = options?.maxAgeSeconds ?? 7_200;
  if (!Number.isInteger(maxAgeSeconds) || maxAgeSeconds < 0) {
    throw new TypeError(`"browsers.maxAgeSeconds" must be seconds from 0, not ${maxAgeSeconds}`);
  }
  const preflightHeaders: [string, string][] = [
    ["access-control-allow-methods", lists.allowedMethods.join(", ")],
    [
      "access-control-allow-headers",
      [...lists.allowedHeaders, ...(options?.allowedHeaders ?? [])].join(", "),
    ],
    ["access-control-max-age", String(maxAgeSeconds)],
  ];
  const exposed = [...lists.exposedHeaders, ...(options?.exposedHeaders ?? [])].join(", ");
  const varies: [string, string][] = options === undefined ? [] : [["vary", "origin"]];
  const refused: BrowserVerdict = {
    kind: "answer",
    response: { status: 403, header: joinHeaders(varies) },
  };
  // One list for all of them, and one for each origin, so that what is made of it can be remembered.
  const passed: BrowserVerdict = { kind: "pass", headers: varies };
  const pages = new Map(
    origins.map((origin): [string, PageHeaders] => {
      const allowed: [string, string][] = [["access-control-allow-origin", origin], ...varies];
      return [
        origin,
        { allowed, ofAnswers: [...allowed, ["access-control-expose-headers", exposed]] },
      ];
    }),
  );
  const isListedHost = ({ host, hostname }: RequestHead) => hosts.has(host) || hosts.has(hostname);

  return (exchange, head) => {
    const origin = pageOrigin(exchange, head);
    if (origin === undefined) {
      return looksRebound(exchange, head) && !isListedHost(head) ? refused : passed;
    }
    const page = pages.get(origin);
    if (page === undefined || !isListedHost(head)) {
      return refused;
    }
    if (
      exchange.method === "OPTIONS" &&
      valuesOf(exchange, "access-control-request-method").length > 0
    ) {
      const header = joinHeaders(page.allowed, preflightHeaders);
      return { kind: "answer", response: { status: 204, header } };
    }
    return { kind: "pass", headers: page.ofAnswers };
  };
}

/**
 * The origin of the page that caused a request: undefined if no page did, and
 * `null`, which no list has, if the page's origin is not known.
 */
function pageOrigin(exchange: Exchange, head: RequestHead): string | undefined {
  const origins = valuesOf(exchange, "origin");
  const sites = valuesOf(exchange, "sec-fetch-site");
  if (origins.length === 0 && sites.length === 0) {
    return undefined;
  }
  const [origin, ...others] = origins;
  if (others.length > 0) {
    return "null";
  }
  // Browsers send no Origin with a page's GET to its own server.
  return origin ?? (sites.every((site) => site === "same-origin") ? head.origin : "null");
}

/**
 * Whether a request could be a page's that had its own name resolved to this
 * server. In plaintext, under a name that is not localhost, browsers mark such
 * a page's GET in no way (w3.org/TR/fetch-metadata, section 2). Under TLS our
 * certificate does not fit that name.
 */
function looksRebound(exchange: Exchange, { hostname }: RequestHead): boolean {
  return (
    exchange.method === "GET" &&
    exchange.scheme === "http" &&
    hostname !== "localhost" &&
    isIP(hostname.replace(/^\[(.*)\]$/, "$1")) === 0
  );
}

function valuesOf(exchange: Exchange, name: string): readonly string[] {
  return exchange.headers.values(name);
}

function checkedOrigin(origin: string): string {
  const parts = /^([a-z][a-z0-9+.-]*):\/\/[a-z0-9._-]+(?::[0-9]+)?$|^(https?):\/\/\[/.exec(origin);
  const scheme = parts?.[1] ?? parts?.[2];
  const isWeb = scheme === "http" || scheme === "https";
  if (scheme === undefined || (isWeb && URL.parse(origin)?.origin !== origin)) {
    throw new TypeError(
      `"browsers.origins" must list exact origins such as "https://app.example.com", not ${JSON.stringify(origin)}`,
    );
  }
  return origin;
}

function checkedHost(host: string): string {
  const url = /^[a-z0-9._-]+(?::[0-9]+)?$|^\[[0-9a-f:.]+\](?::[0-9]+)?$/.test(host)
    ? URL.parse(`http://${host}`)
    : null;
  if (url === null) {
    throw new TypeError(
      `"browsers.hosts" must list host names in lower case, with or without a port, not ${JSON.stringify(host)}`,
    );
  }
  return host;
}
