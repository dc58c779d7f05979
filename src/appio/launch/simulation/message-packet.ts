import { lengthOf } from "../../objects/bytes.ts";
import { type DeflatedObject, objectsOf } from "../../objects/deflate.ts";
import { inflateMessage } from "../../objects/inflate.ts";
import type { Message } from "../../objects/message.ts";

/**
 * A message in its content-addressed form, all of it in one buffer: what goes
 * from thread to thread. The buffer is transferred, not copied.
 */
export interface MessagePacket {
  readonly messageId: string;
  /** Id and length of each object, in the order in which they lie in the buffer. */
  readonly objects: readonly (readonly [id: string, length: number])[];
  readonly buffer: ArrayBuffer;
}

/** Contents of objects, each in consecutive pieces. */
export type PieceContents = Iterable<readonly [id: string, pieces: readonly Uint8Array[]]>;

/** Copies the objects of a message into a new buffer: whoever has the pieces keeps them. */
export function packMessage(messageId: string, contents: PieceContents): MessagePacket {
  const all = Array.from(contents);
  const objects = all.map(([id, pieces]) => [id, lengthOf(pieces)] as const);
  const bytes = new Uint8Array(objects.reduce((sum, [, length]) => sum + length, 0));
  let offset = 0;
  for (const [, pieces] of all) {
    for (const piece of pieces) {
      bytes.set(piece, offset);
      offset += piece.length;
    }
  }
  return { messageId, objects, buffer: bytes.buffer };
}

/** As {@link packMessage}, of a message that has just been deflated. */
export function packDeflated(message: DeflatedObject): MessagePacket {
  return packMessage(message.id, piecesOf(message));
}

/**
 * Rebuilds the message. The data of its arrays stays in the packet's buffer.
 *
 * @throws InflateError if the objects make no message.
 */
export function unpackMessage({ messageId, objects, buffer }: MessagePacket): Message {
  const contents = new Map<string, Uint8Array>();
  let offset = 0;
  for (const [id, length] of objects) {
    contents.set(id, new Uint8Array(buffer, offset, length));
    offset += length;
  }
  return inflateMessage(messageId, contents);
}

function* piecesOf(message: DeflatedObject) {
  for (const [id, { head, body }] of objectsOf(message)) {
    yield [id, [head, ...body]] as const;
  }
}
