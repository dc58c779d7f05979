import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build, defaultClientConditions, type Rolldown } from "vite";

/** One file of a built page. */
export interface PageFile {
  readonly type: string;
  readonly content: Buffer;
}

/** A built page: its files by the path of their URLs. */
export type Page = ReadonlyMap<string, PageFile>;

/** A page that is being served. */
export interface PageServer {
  /** The page's origin, such as `http://127.0.0.1:8080`. */
  readonly origin: string;
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
};

/** Scripts from here only, a Worker from a blob:, calls to nodes on this machine or over TLS, and nothing else. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src data:",
  "worker-src blob:",
  "connect-src http://127.0.0.1:* http://localhost:* https:",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/** Builds the page in memory, minified. */
export async function buildPage(): Promise<Page> {
  const built = await build({
    root: fileURLToPath(new URL("page", import.meta.url)),
    configFile: false,
    logLevel: "error",
    // This package's own sources, as everything here runs them.
    resolve: { conditions: ["countersign-source", ...defaultClientConditions] },
    build: { write: false, modulePreload: { polyfill: false } },
  });
  const outputs = "close" in built ? [] : [built].flat().flatMap(({ output }) => output);
  return new Map(outputs.map((output) => [`/${output.fileName}`, pageFile(output)]));
}

function pageFile(output: Rolldown.OutputChunk | Rolldown.OutputAsset): PageFile {
  const content = Buffer.from(output.type === "chunk" ? output.code : output.source);
  const extension = output.fileName.split(".").at(-1) ?? "";
  return { type: types[extension] ?? "application/octet-stream", content };
}

/** Serves a built page to this machine. @param port 0 for any free one */
export async function servePage(page: Page, port: number): Promise<PageServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0] ?? "/";
    const file = page.get(path === "/" ? "/index.html" : path);
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "content-type": file.type,
      "content-security-policy": contentSecurityPolicy,
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
    });
    response.end(request.method === "HEAD" ? undefined : file.content);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, "127.0.0.1", resolve);
  });
  return {
    origin: `http://127.0.0.1:${portOf(server.address())}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("the page has no port");
  return address.port;
}
