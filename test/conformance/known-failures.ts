/** Cases of the runner's suites that fail here, or may fail. */
export interface KnownFailure {
  /** Their names, as the runner matches them. `**` stands for versions of HTTP, TLS and the like. */
  readonly pattern: string;
  readonly reason: string;
  /** Whether they fail at times only. Default: they always do, or the list is out of date. */
  readonly isFlaky?: boolean;
}

const unknownUri =
  "no caller, whoever it is, can tell an RPC that no policy has from one that refuses: the guard's one refusal, not Unimplemented and 404";

/** What `serve` answers otherwise than the suites want: on purpose, each of them. */
export const serverKnownFailures: readonly KnownFailure[] = [
  { pattern: "Connect Unexpected Requests/**/unexpected-uri", reason: unknownUri },
  { pattern: "gRPC Unexpected Requests/**/unexpected-uri", reason: unknownUri },
  { pattern: "gRPC-Web Unexpected Requests/**/unexpected-uri", reason: unknownUri },
];

const cutOff =
  "connect calls an answer that ends in the middle of a message InvalidArgument, and the suites ask for Internal or Unknown";
const endless =
  "connect calls an answer without its last message InvalidArgument, and the suites ask for Internal or Unknown";

/** What connect's own clients do otherwise than the suites want, on transports of connect-web. */
export const webKnownFailures: readonly KnownFailure[] = [
  {
    pattern: "Connect Unexpected Responses/**/server-stream/incomplete-message",
    reason: cutOff,
  },
  {
    pattern: "Connect Unexpected Responses/**/server-stream/incomplete-message-prefix",
    reason: cutOff,
  },
];

/** What connect's own clients do otherwise than the suites want, on transports of connect-node. */
export const nodeKnownFailures: readonly KnownFailure[] = [
  ...webKnownFailures,
  { pattern: "gRPC Unexpected Responses/**/server-stream/incomplete-message", reason: cutOff },
  {
    pattern: "gRPC Unexpected Responses/**/server-stream/incomplete-message-prefix",
    reason: cutOff,
  },
  { pattern: "Connect Unexpected Responses/**/client-stream/no-end-stream", reason: endless },
  { pattern: "Connect Unexpected Responses/**/server-stream/no-end-stream", reason: endless },
  {
    pattern: "Connect Unexpected Responses/**/bidi-stream/half-duplex/no-end-stream",
    reason: endless,
  },
  {
    pattern:
      "Basic/**/Protocol:PROTOCOL_GRPC_WEB/**/(grpc server impl)/bidi-stream/half-duplex/no-responses",
    reason:
      "grpc-go sends a gRPC-web answer without messages as headers alone, in which connect looks for no trailers of the service",
  },
  {
    pattern: "Timeouts/**/Protocol:PROTOCOL_GRPC/**/(grpc server impl)/**",
    isFlaky: true,
    reason:
      "when grpc-go reaches the deadline first, it resets the stream, which connect calls Canceled and not DeadlineExceeded",
  },
];
