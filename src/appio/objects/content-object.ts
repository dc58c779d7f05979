import type { ObjectType } from "./structure.ts";

/**
 * What can be stored and sent as content-addressed objects: Message,
 * RecordDict, ArrayRecord, MetricRecord, ConfigRecord, NdArray and ArrayChunk.
 * (Flower calls them inflatable objects.)
 */
export interface ContentObject {
  /** The name that stands in the head. */
  readonly objectType: ObjectType;

  /**
   * The objects that this one refers to, in order; an object that is referred
   * to twice appears twice.
   *
   * @param maxChunkBytes Where the data of arrays is cut.
   */
  childObjects(maxChunkBytes: number): readonly ContentObject[];

  /**
   * The body, in consecutive pieces.
   *
   * @param childIds The ids of {@link childObjects}, one for each.
   */
  encodeBody(childIds: readonly string[]): readonly Uint8Array[];
}

/** An object could not be rebuilt from its content and its children. */
export class InflateError extends Error {
  override readonly name = "InflateError";
}

/** Already inflated children, by id, in the order of the parent's head. */
export type Children = ReadonlyMap<string, ContentObject>;
