import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { buildPage } from "../../examples/browser/page-server.ts";
import { bundleSizeOf } from "./bundle-size.ts";

const transport = 'export { createGrpcWebTransport } from "@connectrpc/connect-web";';

test.each([
  ["connect's own client, without us", 'export { createClient } from "@connectrpc/connect";', 36],
  [
    "policies and clients",
    `export { anyOf, createAuthenticatedClient, createOpenClient, credential, definePolicy, open, parseToken, requires,
       transportTo } from "countersign";`,
    40,
  ],
  [
    "clients of ClientAppIo",
    `export { createAuthenticatedClient, createOpenClient, parseToken, transportTo } from "countersign";
     export { clientAppIoPolicy } from "countersign/appio";`,
    48,
  ],
  [
    "the runtime of ClientApps",
    `export { createOpenClient, parseToken, transportTo } from "countersign";
     export { ArrayRecord, ClientApp, clientAppIoPolicy, MetricRecord, NdArray, RecordDict, runClientApp,
       startWorkerSleep } from "countersign/appio";`,
    64,
  ],
])("the client entry stays small: %s", async (what, source, maxKib) => {
  const { minifiedBytes, gzippedBytes } = await bundleSizeOf(`${transport} ${source}`);
  tell(what, minifiedBytes, gzippedBytes);
  expect(gzippedBytes).toBeLessThan(maxKib * 1024);
});

test("the example's page stays small", async () => {
  const files = [...(await buildPage()).values()];
  const scripts = files.filter(({ type }) => type.startsWith("text/javascript"));
  const sum = (sizes: readonly number[]) => sizes.reduce((all, one) => all + one, 0);
  const minifiedBytes = sum(scripts.map(({ content }) => content.length));
  const gzippedBytes = sum(scripts.map(({ content }) => gzipSync(content).length));
  tell("the example's page", minifiedBytes, gzippedBytes);
  expect(gzippedBytes).toBeLessThan(68 * 1024);
});

function tell(what: string, minifiedBytes: number, gzippedBytes: number): void {
  const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`;
  console.log(`${what}: ${kib(minifiedBytes)} minified, ${kib(gzippedBytes)} with gzip`);
}
