import { randomBytes } from "node:crypto";
import type { TokenDigest } from "../policy/token.ts";
import { RowIndex } from "./row-index.ts";
import { TokenRows } from "./token-rows.ts";
import type { TokenRecord } from "./token-table.ts";

/**
 * The tokens of runs in typed arrays: rows of 48 bytes, and two indexes of 16 to 64
 * bytes a token, by digest and by run.
 *
 * An attacker chooses which digests are looked up, but not which are stored: those are
 * SHA-256 of random tokens of ours. So their first bits, which place them in the index,
 * are as good as random, and with a million of them the longest chain of slots that a
 * lookup can be sent through has about a hundred. Run ids may be chosen by others;
 * where they stand depends on a secret of this process.
 */
export class PackedTokens {
  readonly #rows = new TokenRows();
  readonly #byDigest = new RowIndex();
  readonly #byRun = new RowIndex();
  readonly #digest = Buffer.alloc(32);
  /** The same bytes. */
  readonly #digestView = new DataView(this.#digest.buffer, this.#digest.byteOffset, 32);
  readonly #hasThisDigest = (row: number) => this.#rows.hasDigest(row, this.#digestView);
  readonly #runIdView = new DataView(new ArrayBuffer(8));
  readonly #runHashSecret = randomBytes(4).readUInt32LE();

  /** Finds a token, live or not. */
  find(digest: TokenDigest): Pick<TokenRecord, "runId" | "activeUntilMs"> | undefined {
    const row = this.#byDigest.find(this.#read(digest), this.#hasThisDigest);
    return row === undefined
      ? undefined
      : { runId: this.#rows.runId(row), activeUntilMs: this.#rows.activeUntilMs(row) };
  }

  /** Sets the one token of a run. No other run may have the same digest. */
  put({ runId, digest, activeUntilMs }: TokenRecord): void {
    // The token it replaces has expired, but would be live again if the clock were set back.
    this.remove(runId);
    const hash = this.#read(digest);
    const row = this.#rows.add(this.#digestView, runId, activeUntilMs);
    this.#byDigest.add(hash, row);
    this.#byRun.add(this.#runHash(runId), row);
  }

  /** Forgets the token of a run. */
  remove(runId: bigint): void {
    const runHash = this.#runHash(runId);
    const row = this.#byRun.find(runHash, (found) => this.#rows.runId(found) === runId);
    if (row === undefined) {
      return;
    }
    this.#byRun.remove(runHash, row);
    this.#byDigest.remove(this.#rows.digestHash(row), row);
    const last = this.#rows.count - 1;
    if (row !== last) {
      this.#byRun.renumber(this.#runHash(this.#rows.runId(last)), last, row);
      this.#byDigest.renumber(this.#rows.digestHash(last), last, row);
    }
    this.#rows.remove(row);
  }

  /**
   * Takes up a digest, and returns its hash.
   *
   * @throws TypeError if it is none: what is left of the last one must not count.
   */
  #read(digest: TokenDigest): number {
    if (digest.length !== 64 || this.#digest.write(digest, "hex") !== 32) {
      throw new TypeError("a digest must be 64 hexadecimal characters");
    }
    return this.#digestView.getUint32(0);
  }

  #runHash(runId: bigint): number {
    this.#runIdView.setBigUint64(0, runId);
    const high = this.#runIdView.getUint32(0);
    const low = this.#runIdView.getUint32(4);
    return mixed(mixed(low ^ this.#runHashSecret) ^ high);
  }
}

/** Spreads the bits of a number over 32: the last step of MurmurHash3 (`fmix32`). */
function mixed(bits: number): number {
  const first = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  const second = Math.imul(first ^ (first >>> 13), 0xc2b2ae35);
  return (second ^ (second >>> 16)) >>> 0;
}
