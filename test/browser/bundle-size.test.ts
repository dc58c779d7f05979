import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { buildPage } from "../../examples/browser/page-server.ts";
import { bundleSizeOf, clientEntries, sizeText } from "./bundle-size.ts";

test.each(clientEntries)(
  "the client entry stays small: $what",
  async ({ what, source, maxKib }) => {
    const size = await bundleSizeOf(source);
    console.log(`${what}: ${sizeText(size)}`);
    expect(size.gzippedBytes).toBeLessThan(maxKib * 1024);
  },
);

test("a bundle that reaches a module of Node is refused", async () => {
  await expect(bundleSizeOf('export { serve } from "countersign/serve";')).rejects.toThrow(
    /imports node:\w+, a module of Node/,
  );
});

test("the example's page stays small", async () => {
  const files = [...(await buildPage()).values()];
  const scripts = files.filter(({ type }) => type.startsWith("text/javascript"));
  const sum = (sizes: readonly number[]) => sizes.reduce((all, one) => all + one, 0);
  const minifiedBytes = sum(scripts.map(({ content }) => content.length));
  const gzippedBytes = sum(scripts.map(({ content }) => gzipSync(content).length));
  console.log(`the example's page: ${sizeText({ minifiedBytes, gzippedBytes })}`);
  expect(gzippedBytes).toBeLessThan(68 * 1024);
});
