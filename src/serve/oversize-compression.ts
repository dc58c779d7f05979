import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";

/**
 * A compression that answers a message which grows too large with a code of
 * ours, in place of ResourceExhausted.
 */
export function withOversizeCode(compression: Compression, code: Code): Compression {
  return {
    ...compression,
    decompress: (bytes, readMaxBytes) =>
      compression.decompress(bytes, readMaxBytes).catch((reason: unknown) => {
        throw reason instanceof ConnectError && reason.code === Code.ResourceExhausted
          ? new ConnectError(reason.rawMessage, code)
          : reason;
      }),
  };
}
