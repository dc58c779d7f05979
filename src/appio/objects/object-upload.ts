import { joinPieces, lengthOf } from "./bytes.ts";

/** What {@link ObjectUpload} is made of: the fields of a PushObjectRequest, the content in pieces. */
export interface ObjectUploadInit {
  readonly node: { readonly nodeId: bigint };
  readonly runId: bigint;
  readonly objectId: string;
  /** The content, in consecutive pieces. Not copied: do not change it. */
  readonly pieces: readonly Uint8Array[];
}

/**
 * A PushObjectRequest that does not hold its content in one piece. A transport that knows this class sends the pieces
 * from where they are; any other reads `objectContent`, as of every request, and gets a copy.
 */
export class ObjectUpload {
  readonly node: { readonly nodeId: bigint };
  readonly runId: bigint;
  readonly objectId: string;
  // Private, so that a spread of the other fields leaves it out.
  readonly #pieces: readonly Uint8Array[];
  #joined: Uint8Array<ArrayBuffer> | undefined;

  constructor({ node, runId, objectId, pieces }: ObjectUploadInit) {
    this.node = node;
    this.runId = runId;
    this.objectId = objectId;
    this.#pieces = pieces;
  }

  /** The content, in consecutive pieces. */
  get pieces(): readonly Uint8Array[] {
    return this.#pieces;
  }

  /** How many bytes the content has. */
  get byteLength(): number {
    return lengthOf(this.#pieces);
  }

  /** The content in one piece: a copy, made when it is first read. */
  get objectContent(): Uint8Array {
    this.#joined ??= joinPieces(this.#pieces);
    return this.#joined;
  }

  /**
   * Gives the copy's memory back at once, once the request is no longer used: a garbage collector comes when many of
   * them lie about. An older browser, whose buffers cannot, leaves it to the collector.
   */
  release(): void {
    const copy = this.#joined;
    this.#joined = undefined;
    if (copy !== undefined && "transfer" in copy.buffer) {
      copy.buffer.transfer(0);
    }
  }
}
