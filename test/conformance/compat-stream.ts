import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";

/** How many bytes announce the size of a message. */
const prefixBytes = 4;

/**
 * Reads what the runner writes to a program's standard input: messages, each
 * after its size as four bytes, most significant first.
 *
 * @throws Error if the input ends in the middle of a message.
 */
export async function* readMessages<D extends DescMessage>(
  schema: D,
  input: AsyncIterable<Uint8Array>,
): AsyncGenerator<MessageShape<D>, void> {
  let pending = Buffer.alloc(0);
  for await (const chunk of input) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= prefixBytes) {
      const end = prefixBytes + pending.readUInt32BE();
      if (pending.length < end) {
        break;
      }
      yield fromBinary(schema, pending.subarray(prefixBytes, end));
      pending = pending.subarray(end);
    }
  }
  if (pending.length > 0) {
    throw new Error("the runner's input ended in the middle of a message");
  }
}

/** Encodes a message as the runner reads it from a program's standard output. */
export function encodeMessage<D extends DescMessage>(schema: D, message: MessageShape<D>): Buffer {
  const bytes = toBinary(schema, message);
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(bytes.length);
  return Buffer.concat([prefix, bytes]);
}
