import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { TokenRows } from "../../src/authority/token-rows.ts";

/** What {@link TokenRows} grows by, in rows of 48 bytes. */
const rowsPerPage = 4096;

test("rows that come and go at the edge of a page take no memory each time", () => {
  const rows = new TokenRows();
  const digest = new DataView(new Uint8Array(randomBytes(32)).buffer);
  const add = () => rows.add(digest, 7n, 1);
  while (rows.count < 2 * rowsPerPage) {
    add();
  }
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 50; i++) {
    expect(add()).toBe(2 * rowsPerPage);
    rows.remove(2 * rowsPerPage);
    rows.remove(2 * rowsPerPage - 1);
    expect(add()).toBe(2 * rowsPerPage - 1);
  }
  // One page more, and not fifty; whatever else takes memory takes less.
  const taken = process.memoryUsage().arrayBuffers - before;
  expect(taken).toBeLessThan(10 * 48 * rowsPerPage);
});

test("there are no other rows than those that were added", () => {
  const rows = new TokenRows();
  const digest = new DataView(new Uint8Array(randomBytes(32)).buffer);
  rows.add(digest, 7n, 1);
  expect([rows.runId(0), rows.activeUntilMs(0), rows.hasDigest(0, digest)]).toEqual([7n, 1, true]);
  expect(() => rows.runId(1)).toThrow("there is no such row");
  rows.remove(0);
  expect(() => rows.runId(0)).toThrow("there is no such row");
  expect(() => rows.remove(0)).toThrow("there is no such row");
});
