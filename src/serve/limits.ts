import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";

/**
 * Limits of a server. Every number must be finite and in its range; what is
 * left out has a default.
 */
export interface ServeLimits {
  /** Largest response message, in bytes before compression. Default 1 GiB. */
  readonly writeMaxBytes?: number;
  /**
   * Calls that one HTTP/2 connection may have open, announced as
   * SETTINGS_MAX_CONCURRENT_STREAMS. Clients wait with calls beyond it. Default 100. A connection of
   * HTTP/1.1 on which more than ten requests are pipelined is closed.
   */
  readonly maxConcurrentStreams?: number;
  /**
   * Calls that the whole server may have open. Calls beyond it are refused with
   * Unavailable, once their credential is verified. Default 10,000.
   */
  readonly maxConcurrentCalls?: number;
  /**
   * Requests that the whole server may have open, whatever they are: those that
   * wait for a verifier, unknown RPCs, exempt ones. Beyond it a request gets
   * status 503 before it is looked at, which is Unavailable to clients; and when a
   * thousand such answers are under way, its connection is closed. Health calls are
   * counted apart, and may be as many. A request with unusually many headers counts
   * as several: up to six with the default limits of headers, more where those are
   * higher. Default: twice `maxConcurrentCalls`, and no less than 100.
   */
  readonly maxOpenRequests?: number;
  /** RPCs that {@link ServeLimits.maxConcurrentCalls} does not stop, such as heartbeats. Health never is. */
  readonly exemptFromShedding?: Iterable<DescMethod>;
  /**
   * Health watches that the whole server may have open, which
   * `maxConcurrentCalls` does not count; one connection may have 8. Watches
   * beyond either are refused with Unavailable. Default 1,000.
   */
  readonly maxHealthWatches?: number;
  /** Connections that may be open; further ones are closed at once. Default 20,000. */
  readonly maxConnections?: number;
  /** Size of a request's headers, in bytes. Default 16 KiB. */
  readonly maxHeaderBytes?: number;
  /** Number of a request's header fields. Default 100. */
  readonly maxHeaderCount?: number;
  /**
   * Time for a connection to deliver a request's headers, a TLS handshake
   * included, in milliseconds. Default 30,000.
   */
  readonly headersTimeoutMs?: number;
  /**
   * Time that a server waits for more of a request's body while it needs it, in
   * milliseconds; for an open RPC it is the time for the whole body. Request
   * streams of protected RPCs are not limited. Default 30,000.
   */
  readonly bodyTimeoutMs?: number;
  /** Time after which a connection without a call is closed, in milliseconds. Default 300,000. */
  readonly idleTimeoutMs?: number;
  /** How often an HTTP/2 connection with open calls is pinged, in milliseconds. Default 60,000. */
  readonly keepaliveIntervalMs?: number;
  /** Time for the answer to such a ping, in milliseconds, before the connection is destroyed. Default 20,000. */
  readonly keepaliveTimeoutMs?: number;
  /**
   * What answers a request message that is larger than its RPC allows. Default
   * `Code.ResourceExhausted`, as gRPC has it; some clients take that for
   * something else.
   */
  readonly oversizeCode?: Code;
  /**
   * Bytes of request bodies that all calls together may hold in memory. Beyond
   * it, bodies wait in the network until others are done with. Default 384 MiB.
   */
  readonly maxBodyBytes?: number;
  /**
   * Memory that request bodies of all calls together may take, in bytes, which
   * have arrived but are not read: while a verifier decides, while they wait for
   * `maxBodyBytes`, or because a handler does not read. Beyond it the calls of those
   * connections that hold most are ended with Unavailable: no handler starts, and one that
   * reads a stream gets an error. It is counted as it arrives, and passed by an eighth and
   * 64 KiB at most. Default 128 MiB.
   */
  readonly maxUnreadBytes?: number;
  /**
   * Bytes of answers of more than 16 KiB, of all calls together, that their callers
   * have not taken; the largest of them does not count, and messages of streams count
   * three times. Beyond it a new answer is refused with Unavailable if no connection holds more
   * than its own, and a stream that has begun is reset; else the connection that holds
   * most is closed. Default 512 MiB.
   */
  readonly maxUnsentBytes?: number;
  /**
   * Time within which a caller has to take more of a unary answer of more than 16 KiB
   * before it is broken off, in milliseconds. More is 64 KiB, and up to 1 MiB for those who are fast.
   * Streams have no such limit. Default 60,000.
   */
  readonly answerTimeoutMs?: number;
  /**
   * HTTP/2 flow-control window of a call, in bytes: what a refused upload can
   * send at most, and what an unread body can hold of memory. Between 65,535
   * and 2 MiB. Default 1 MiB.
   */
  readonly streamWindowBytes?: number;
}

/** Limits with every default filled in. */
export interface ResolvedLimits {
  readonly writeMaxBytes: number;
  readonly maxConcurrentStreams: number;
  readonly maxConcurrentCalls: number;
  readonly maxOpenRequests: number;
  readonly maxHealthWatches: number;
  readonly maxConnections: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaderCount: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly streamWindowBytes: number;
  readonly oversizeCode: Code;
  readonly maxBodyBytes: number;
  readonly maxUnreadBytes: number;
  readonly maxUnsentBytes: number;
  readonly answerTimeoutMs: number;
  /** RPCs that are not refused for load. */
  readonly exemptFromShedding: ReadonlySet<DescMethod>;
}

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

/** The largest message that connect reads or writes, in bytes. */
const largestMessageBytes = 0xffffffff;

/** The longest time that a timer of Node can wait, in milliseconds (about 24 days). */
const longestTimeoutMs = 0x7fffffff;

/**
 * Fills in the defaults of limits.
 *
 * @param served - the RPCs of the server; limits of other RPCs are a mistake.
 * @throws TypeError naming the limit that is no number in its range, or that
 * speaks of an RPC which is not served.
 */
export function resolveLimits(
  limits: ServeLimits,
  served: ReadonlySet<DescMethod>,
): ResolvedLimits {
  const exempt = new Set<DescMethod>();
  for (const method of limits.exemptFromShedding ?? []) {
    if (!served.has(method)) {
      throw new TypeError(
        `"exemptFromShedding" names ${method.parent.typeName}.${method.name}, which is not served`,
      );
    }
    exempt.add(method);
  }
  const maxConcurrentCalls = count("maxConcurrentCalls", limits.maxConcurrentCalls, 10_000);
  return {
    writeMaxBytes: integer(
      "writeMaxBytes",
      limits.writeMaxBytes,
      1024 * mebibyte,
      1,
      largestMessageBytes,
    ),
    maxConcurrentStreams: count("maxConcurrentStreams", limits.maxConcurrentStreams, 100),
    maxConcurrentCalls,
    maxOpenRequests: count(
      "maxOpenRequests",
      limits.maxOpenRequests,
      Math.max(2 * maxConcurrentCalls, 100),
    ),
    maxHealthWatches: count("maxHealthWatches", limits.maxHealthWatches, 1_000),
    maxConnections: count("maxConnections", limits.maxConnections, 20_000),
    maxHeaderBytes: integer(
      "maxHeaderBytes",
      limits.maxHeaderBytes,
      16 * kibibyte,
      kibibyte,
      mebibyte,
    ),
    maxHeaderCount: integer("maxHeaderCount", limits.maxHeaderCount, 100, 16, 10_000),
    headersTimeoutMs: time("headersTimeoutMs", limits.headersTimeoutMs, 30_000),
    bodyTimeoutMs: time("bodyTimeoutMs", limits.bodyTimeoutMs, 30_000),
    idleTimeoutMs: time("idleTimeoutMs", limits.idleTimeoutMs, 300_000),
    keepaliveIntervalMs: time("keepaliveIntervalMs", limits.keepaliveIntervalMs, 60_000),
    keepaliveTimeoutMs: time("keepaliveTimeoutMs", limits.keepaliveTimeoutMs, 20_000),
    streamWindowBytes: integer(
      "streamWindowBytes",
      limits.streamWindowBytes,
      mebibyte,
      65_535,
      2 * mebibyte,
    ),
    oversizeCode: code("oversizeCode", limits.oversizeCode, Code.ResourceExhausted),
    maxBodyBytes: integer(
      "maxBodyBytes",
      limits.maxBodyBytes,
      384 * mebibyte,
      mebibyte,
      Number.MAX_SAFE_INTEGER,
    ),
    maxUnreadBytes: integer(
      "maxUnreadBytes",
      limits.maxUnreadBytes,
      128 * mebibyte,
      mebibyte,
      Number.MAX_SAFE_INTEGER,
    ),
    maxUnsentBytes: integer(
      "maxUnsentBytes",
      limits.maxUnsentBytes,
      512 * mebibyte,
      mebibyte,
      Number.MAX_SAFE_INTEGER,
    ),
    answerTimeoutMs: time("answerTimeoutMs", limits.answerTimeoutMs, 60_000),
    exemptFromShedding: exempt,
  };
}

/** Checks a time in milliseconds; `name` is how an error calls it. */
export function time(name: string, value: number | undefined, standard: number): number {
  return integer(name, value, standard, 1, longestTimeoutMs);
}

function count(name: string, value: number | undefined, standard: number): number {
  return integer(name, value, standard, 1, 0x7fffffff);
}

function code(name: string, value: Code | undefined, standard: Code): Code {
  if (value !== undefined && Code[value] === undefined) {
    throw new TypeError(`"${name}" must be a code of gRPC, not ${value}`);
  }
  return value ?? standard;
}

function integer(
  name: string,
  value: number | undefined,
  standard: number,
  least: number,
  most: number,
): number {
  // A comparison alone would let NaN pass, which connect's own check does.
  if (value !== undefined && !(Number.isInteger(value) && value >= least && value <= most)) {
    throw new TypeError(`"${name}" must be an integer from ${least} to ${most}, not ${value}`);
  }
  return value ?? standard;
}
