import { gzipSync } from "node:zlib";
import { build, defaultClientConditions } from "vite";

/** How large a script is. */
export interface BundleSize {
  readonly minifiedBytes: number;
  readonly gzippedBytes: number;
}

/** Builds a module as a page's bundler would, with nothing else in it, and measures it. */
export async function bundleSizeOf(source: string): Promise<BundleSize> {
  const entry = "virtual:entry";
  const built = await build({
    configFile: false,
    logLevel: "error",
    resolve: { conditions: ["countersign-source", ...defaultClientConditions] },
    plugins: [
      {
        name: "entry",
        resolveId: (id) => (id === entry ? id : null),
        load: (id) => (id === entry ? source : null),
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
