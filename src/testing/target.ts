import { isLoopback } from "../client/located-transport.ts";

/** Where an attack goes. */
export interface AttackTarget {
  /** Base URL of the server, such as `http://127.0.0.1:9091`; what follows the port is left out. */
  readonly url: string;
  /** Certificates to trust, as PEM. Default: those that Node trusts. */
  readonly ca?: string;
  /**
   * Says that you answer for the server behind the URL. Needed for every host
   * that is not loopback: hostile calls belong on one's own servers. Default false.
   */
  readonly iOperateThisServer?: boolean;
}

/** A target that was checked. */
export interface CheckedTarget {
  readonly isTls: boolean;
  /** Host as a socket takes it: an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Host and port, for the Host header and the authority. */
  readonly authority: string;
  readonly origin: string;
  readonly ca: string | undefined;
}

/**
 * Checks where an attack may go.
 *
 * @throws TypeError if the URL is none of http: or https:, carries a user, or
 * names a host that is not loopback without `iOperateThisServer`.
 */
export function checkTarget({ url, ca, iOperateThisServer }: AttackTarget): CheckedTarget {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== "http:" && parsed?.protocol !== "https:") {
    throw new TypeError('"url" must be an http: or https: URL, such as "http://127.0.0.1:9091"');
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new TypeError('"url" must not carry a user or a password');
  }
  if (!isLoopback(parsed.hostname) && iOperateThisServer !== true) {
    throw new TypeError(
      `"url" names ${parsed.hostname}, which is not this machine: ` +
        `attack servers that you operate only, and say so with iOperateThisServer (--i-operate-this-server)`,
    );
  }
  const isTls = parsed.protocol === "https:";
  const port = parsed.port === "" ? (isTls ? 443 : 80) : Number(parsed.port);
  return {
    isTls,
    host: parsed.hostname.replace(/^\[(.*)\]$/, "$1"),
    port,
    authority: `${parsed.hostname}:${port}`,
    origin: parsed.origin,
    ca,
  };
}
