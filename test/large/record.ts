import { createHash } from "node:crypto";
import { ArrayRecord } from "../../src/appio/objects/array-record.ts";
import { NdArray } from "../../src/appio/objects/nd-array.ts";
import { RecordDict } from "../../src/appio/objects/record-dict.ts";

/** Makes a record of one array of this many bytes, no two of whose chunks are alike. */
export function makeRecord(bytes: number): RecordDict {
  const values = new Uint32Array(bytes / 4);
  let state = 2_463_534_242;
  for (let index = 0; index < values.length; index += 1) {
    // xorshift32: fast, and without a repetition in 16 GiB.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[index] = state;
  }
  return new RecordDict({ model: new ArrayRecord({ weights: NdArray.from(values) }) });
}

/** A digest of the array's bytes, which are hashed where they are. */
export function digestOf(record: RecordDict): string {
  const hash = createHash("sha256");
  for (const piece of record.getArrayRecord("model").get("weights").pieces) {
    hash.update(piece);
  }
  return hash.digest("hex");
}
