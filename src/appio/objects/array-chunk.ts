import type { Children, ContentObject } from "./content-object.ts";
import { expectNoChildren } from "./decode-leaf.ts";
import { expectObject } from "./expect-object.ts";

/**
 * One slice of the data of an {@link NdArray}, as an object of its own: large
 * arrays travel in slices. Flower's ArrayChunk.
 */
export class ArrayChunk implements ContentObject {
  readonly objectType = "ArrayChunk";
  /** The slice, in consecutive pieces. Not copied: do not change it. */
  readonly pieces: readonly Uint8Array[];

  constructor(data: Uint8Array | readonly Uint8Array[]) {
    this.pieces = data instanceof Uint8Array ? [data] : data;
  }

  childObjects(): readonly ContentObject[] {
    return [];
  }

  encodeBody(): readonly Uint8Array[] {
    return this.pieces;
  }

  /**
   * Rebuilds a chunk from its content, as a view.
   *
   * @throws InflateError if the content is no ArrayChunk's or there are children.
   */
  static inflate(content: Uint8Array, children: Children = new Map()): ArrayChunk {
    const { childIds, body } = expectObject("ArrayChunk", content);
    expectNoChildren("ArrayChunk", childIds, children);
    return new ArrayChunk(body);
  }
}
