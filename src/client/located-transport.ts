import type { Transport } from "@connectrpc/connect";

/**
 * A connect Transport that is known to send to one place, so that an
 * authenticated client can refuse to send a secret there. Only
 * {@link transportTo} and {@link inProcess} make one. It works wherever a plain
 * Transport does.
 */
export interface LocatedTransport extends Transport {
  /** Exists for the compiler only: its name is what a compile error says. */
  readonly "made by transportTo(factory, { baseUrl }) or inProcess(transport)": true;
}

/** Options that {@link transportTo} understands, besides the factory's own. */
export interface TransportToOptions {
  /**
   * Whether an authenticated client may send its secrets over unencrypted
   * HTTP to a host that is not loopback, where everybody on the way can read
   * them. Default: false.
   */
  readonly allowPlaintext?: boolean;
}

/** Where a transport sends, as {@link mayCarrySecrets} needs to know it. */
interface Destination {
  readonly where: string;
  readonly isPrivate: boolean;
}

/**
 * Kept outside of the transports: what is not in this map was not made here,
 * whatever it looks like. A copy of a located transport is not located.
 */
const destinations = new WeakMap<Transport, Destination>();

/**
 * Makes a transport with one of connect's factories (of connect-node or
 * connect-web), and remembers where it sends.
 *
 * ```ts
 * const transport = transportTo(createGrpcTransport, { baseUrl: "https://superlink.example:9091" });
 * ```
 *
 * A relative `baseUrl` is resolved against the page's address. The transport
 * keeps the address it was made with: later changes to `options` have no
 * effect. Only `baseUrl` is looked at: a factory option that makes it send
 * elsewhere (a proxy agent, `nodeOptions.host`) is the caller's own decision.
 *
 * @throws TypeError if `baseUrl` is not an http: or https: URL.
 */
export function transportTo<Options extends { baseUrl: string }>(
  factory: (options: Options) => Transport,
  options: NoInfer<Options> & TransportToOptions,
): LocatedTransport {
  const url = parseBaseUrl(options.baseUrl);
  const { allowPlaintext } = options;
  if (allowPlaintext !== undefined && typeof allowPlaintext !== "boolean") {
    throw new TypeError('"allowPlaintext" must be true or false');
  }
  const isPrivate =
    url.protocol === "https:" || isLoopback(url.hostname) || allowPlaintext === true;
  return locate(factory({ ...options, baseUrl: url.href }), { where: url.origin, isPrivate });
}

/**
 * Marks a transport as one whose calls do not leave the process, such as that
 * of connect's `createRouterTransport`. Whoever calls this answers for it.
 */
export function inProcess(transport: Transport): LocatedTransport {
  return locate(transport, { where: "this process", isPrivate: true });
}

/**
 * Throws unless a transport may be trusted with secrets.
 *
 * @throws TypeError if the transport was not made here, or sends in plaintext
 * to a host that is not loopback.
 */
export function assertMayCarrySecrets(transport: Transport): void {
  const destination = isObject(transport) ? destinations.get(transport) : undefined;
  if (destination === undefined) {
    throw new TypeError(
      '"transport" must be made by transportTo(factory, { baseUrl }) or inProcess(transport)',
    );
  }
  if (!destination.isPrivate) {
    throw new TypeError(
      `"transport" sends in plaintext to ${destination.where}, which is not a loopback address: ` +
        `use https:, or pass "allowPlaintext: true" to transportTo(...) to send secrets anyway`,
    );
  }
}

function locate(transport: Transport, destination: Destination): LocatedTransport {
  if (typeof transport?.unary !== "function" || typeof transport.stream !== "function") {
    throw new TypeError('"transport" must be a connect Transport');
  }
  const located: Transport = Object.freeze({
    unary: transport.unary.bind(transport),
    stream: transport.stream.bind(transport),
  });
  destinations.set(located, destination);
  // The one cast of this file: the mark exists for the compiler only, the map
  // above is what counts at run time.
  return located as LocatedTransport;
}

function parseBaseUrl(baseUrl: string): URL {
  const base = pageUrl();
  const url = URL.canParse(baseUrl, base) ? new URL(baseUrl, base) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    // The value is not repeated: a URL may carry a password.
    throw new TypeError(
      '"baseUrl" must be an http: or https: URL, such as "https://superlink.example:9091"',
    );
  }
  return url;
}

/** What fetch resolves a relative URL against; undefined outside of browsers. */
function pageUrl(): string | undefined {
  if (typeof document !== "undefined") {
    return document.baseURI;
  }
  return typeof location === "undefined" ? undefined : location.href;
}

/**
 * Whether a host, as the URL parser normalises it, is this machine: RFC 6761,
 * section 6.3 for names, RFC 1122 and RFC 4291 for addresses.
 */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" ||
    hostname.endsWith(".localhost") ||
    hostname === "[::1]" ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
  );
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
