import { isBuiltin } from "node:module";
import { gzipSync } from "node:zlib";
import { build, defaultClientConditions } from "vite";

/** How large a script is. */
export interface BundleSize {
  readonly minifiedBytes: number;
  readonly gzippedBytes: number;
}

/** Something that a page imports, and how large it may be. */
export interface ClientEntry {
  readonly what: string;
  /** The module that is bundled. */
  readonly source: string;
  /** The budget: most KiB of the minified script, with gzip. */
  readonly maxKib: number;
}

const transport = 'export { createGrpcWebTransport } from "@connectrpc/connect-web";';

/** What pages import of the package, each with a transport of connect-web. */
export const clientEntries: readonly ClientEntry[] = [
  {
    what: "connect's own client, without us",
    source: `${transport} export { createClient } from "@connectrpc/connect";`,
    maxKib: 36,
  },
  {
    what: "policies and clients",
    source: `${transport}
      export { anyOf, createAuthenticatedClient, createOpenClient, credential, definePolicy, open, parseToken, requires,
        transportTo } from "countersign";`,
    maxKib: 40,
  },
  {
    what: "clients of ClientAppIo",
    source: `${transport}
      export { createAuthenticatedClient, createOpenClient, parseToken, transportTo } from "countersign";
      export { clientAppIoPolicy } from "countersign/appio";`,
    maxKib: 48,
  },
  {
    what: "the runtime of ClientApps",
    source: `${transport}
      export { createOpenClient, parseToken, transportTo } from "countersign";
      export { ArrayRecord, ClientApp, clientAppIoPolicy, MetricRecord, NdArray, RecordDict, runClientApp,
        startWorkerSleep } from "countersign/appio";`,
    maxKib: 64,
  },
];

/**
 * Builds a module as a page's bundler would, with nothing else in it, and
 * measures it.
 *
 * @param project - the directory of a project that has the package installed.
 * Default: this repository, with the package's sources.
 * @throws an error of the build, and one if the module reaches a module of Node.
 */
export async function bundleSizeOf(source: string, project?: string): Promise<BundleSize> {
  const entry = "virtual:entry";
  const own = project === undefined ? ["countersign-source"] : [];
  const built = await build({
    configFile: false,
    logLevel: "error",
    ...(project === undefined ? {} : { root: project }),
    resolve: { conditions: [...own, ...defaultClientConditions] },
    plugins: [
      {
        name: "entry",
        resolveId: (id) => (id === entry ? id : null),
        load: (id) => (id === entry ? source : null),
      },
      {
        // Vite itself puts an empty module in the place of Node's.
        name: "no module of Node",
        enforce: "pre",
        resolveId: (id, importer) => {
          if (isBuiltin(id)) {
            throw new Error(`${importer} imports ${id}, a module of Node`);
          }
          return null;
        },
      },
    ],
    build: {
      write: false,
      minify: true,
      modulePreload: { polyfill: false },
      rolldownOptions: { input: entry, preserveEntrySignatures: "strict" },
    },
  });
  const outputs = "close" in built ? [] : [built].flat().flatMap(({ output }) => output);
  const script = outputs.map((output) => (output.type === "chunk" ? output.code : "")).join("\n");
  return { minifiedBytes: Buffer.byteLength(script), gzippedBytes: gzipSync(script).length };
}

/** A size in words, such as `98.3 KiB minified, 30.1 KiB with gzip`. */
export function sizeText({ minifiedBytes, gzippedBytes }: BundleSize): string {
  const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`;
  return `${kib(minifiedBytes)} minified, ${kib(gzippedBytes)} with gzip`;
}
