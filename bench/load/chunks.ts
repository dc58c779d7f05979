import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { PushObjectRequestSchema } from "../../gen/flwr/proto/message_pb.ts";
import { encodeHead } from "../../src/appio/objects/structure.ts";
import { superLinkNodeId } from "../../src/appio/objects/super-link-node-id.ts";
import { frame } from "../servers/answers.ts";

/** Objects of one size, each of another content. */
export interface Chunks {
  /** Their ids, as the content has them. */
  readonly ids: readonly string[];
  /** Bytes of each object. */
  readonly bytes: number;
  /** The framed PushObject request of one; the next call overwrites it, so that no memory is taken for each. */
  requestOf(index: number): Buffer;
}

/** At the end of the content, so that what comes before is hashed once: what makes it another one, in every run. */
const markBytes = 8;

/** Makes ArrayChunks of a run that carry this many bytes each. */
export function makeChunks(runId: bigint, count: number, bodyBytes: number): Chunks {
  const body = Buffer.alloc(bodyBytes, 0x5a);
  const content = Buffer.concat([encodeHead("ArrayChunk", [], bodyBytes), body]);
  const same = createHash("sha256").update(content.subarray(0, -markBytes));
  const ids = Array.from({ length: count }, (_, index) =>
    same.copy().update(markOf(runId, index)).digest("hex"),
  );
  const placeholder = "0".repeat(64);
  const request = { node: { nodeId: superLinkNodeId }, runId, objectId: placeholder };
  const framed = frame(
    toBinary(
      PushObjectRequestSchema,
      create(PushObjectRequestSchema, { ...request, objectContent: content }),
    ),
  );
  const idStart = framed.indexOf(placeholder);
  // The content is the last field.
  return {
    ids,
    bytes: content.length,
    requestOf(index) {
      framed.write(ids[index] ?? "", idStart, "latin1");
      markOf(runId, index).copy(framed, framed.length - markBytes);
      return framed;
    },
  };
}

function markOf(runId: bigint, index: number): Buffer {
  const mark = Buffer.alloc(markBytes);
  mark.writeUInt32BE(Number(runId & 0xffff_ffffn));
  mark.writeUInt32BE(index, 4);
  return mark;
}
