import { Code } from "@connectrpc/connect";

/**
 * The largest request, in bytes, of RPCs that carry objects or contexts inline:
 * models. Flower's limit is 2 GiB - 1.
 */
export const defaultMaxInlineBytes = 512 * 1024 * 1024;

/** The largest request of RPCs that carry messages without content, in bytes: thousands of object trees. */
export const maxMessagesBytes = 64 * 1024 * 1024;

/**
 * What answers a request over its size. Not gRPC's ResourceExhausted: Flower's
 * Grid takes that for an empty list, and messages would be lost in silence.
 */
export const oversizeCode = Code.InvalidArgument;

/** How large the requests may be that a service reads. */
export interface InlineSizeOptions {
  /** The largest object or context, in bytes. Default: {@link defaultMaxInlineBytes}. */
  readonly maxInlineBytes?: number;
}
