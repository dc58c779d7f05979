import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AppBundle, bundleId, readBundle } from "../../../src/appio/launch/bundle.ts";
import { maxBundleBytes, maxUnpackedBytes } from "../../../src/appio/launch/bundle-archive.ts";
import { installBundle, loadEntryPoint } from "../../../src/appio/launch/bundle-install.ts";
import { packBundle } from "../../../src/appio/launch/bundle-pack.ts";
import { archive, type Entry } from "./archive.ts";

const manifest = {
  name: "example-app",
  version: "1.2.3",
  type: "module",
  countersign: {
    serverapp: "./server-app.ts",
    clientapp: "./lib/client-app.ts",
    config: { "num-rounds": 3, model: { layers: 2, name: "small" }, verbose: false },
  },
};

function appEntries(changed: object = {}): Entry[] {
  return [
    { path: "package/package.json", content: JSON.stringify({ ...manifest, ...changed }) },
    { path: "package/server-app.ts", content: "export default 1;" },
    { path: "package/lib/client-app.ts", content: "export default 2;" },
  ];
}

let directory: string;
beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "countersign-bundle-test-")));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe("readBundle", () => {
  test("reads name, version, entry points, flattened config and dependencies", async () => {
    const bytes = archive(
      appEntries({
        dependencies: { "ml-matrix": "^6.0.0" },
        peerDependencies: { countersign: "*" },
      }),
    );
    const bundle = await readBundle(bytes);
    expect(bundle).toMatchObject({
      id: bundleId(bytes),
      name: "example-app",
      version: "1.2.3",
      entryPoints: { serverapp: "server-app.ts", clientapp: "lib/client-app.ts" },
      dependencies: ["ml-matrix", "countersign"],
    });
    expect({ ...bundle.config }).toEqual({
      "num-rounds": 3,
      "model.layers": 2,
      "model.name": "small",
      verbose: false,
    });
    expect(bundle.id).toMatch(/^[0-9a-f]{64}$/);
  });

  test("refuses more than 10 MiB before it unpacks anything", async () => {
    await expect(readBundle(new Uint8Array(maxBundleBytes + 1))).rejects.toThrow(
      "The app bundle has 10485761 bytes; the limit is 10485760.",
    );
  });

  test("refuses an archive that unpacks to more than the limit", async () => {
    const bytes = gzipSync(Buffer.alloc(maxUnpackedBytes + 512));
    expect(bytes.length).toBeLessThan(maxBundleBytes);
    await expect(readBundle(bytes)).rejects.toThrow("unpacks to more than 104857600 bytes");
  });

  test.each([
    ["no gzip", Buffer.from("hello")],
    ["an empty body", new Uint8Array()],
    ["a truncated gzip stream", archive(appEntries()).subarray(0, 100)],
    ["gzip without tar", gzipSync("x".repeat(2048))],
  ])("refuses %s", async (_, bytes) => {
    await expect(readBundle(bytes)).rejects.toThrow(/^The app bundle/);
  });

  test.each([
    ["package/../../etc/passwd"],
    ["package/./a.ts"],
    ["package//a.ts"],
    ["/package/a.ts"],
    ["other/a.ts"],
    ["a.ts"],
    ["package/..\\a.ts"],
    ["package/c:a.ts"],
    ["package/a\nb.ts"],
  ])("refuses the path %j", async (path) => {
    const bytes = archive([...appEntries(), { path, content: "x" }]);
    await expect(readBundle(bytes)).rejects.toThrow("which is not below package/");
  });

  test.each([
    ["SymbolicLink", "/etc/passwd"],
    ["Link", "package/package.json"],
    ["CharacterDevice", undefined],
  ] as const)("refuses a %s", async (type, linkpath) => {
    const entry = { path: "package/a", type, ...(linkpath === undefined ? {} : { linkpath }) };
    await expect(readBundle(archive([...appEntries(), entry]))).rejects.toThrow(
      `The app bundle holds "package/a", a ${type}: only files are allowed.`,
    );
  });

  test("refuses two paths that a file system without case takes for one", async () => {
    const bytes = archive([...appEntries(), { path: "package/Server-App.ts", content: "evil" }]);
    await expect(readBundle(bytes)).rejects.toThrow('holds "Server-App.ts" twice');
  });

  test.each([
    ["no package.json", [{ path: "package/a.ts" }], "has no package.json"],
    [
      "package.json that is no JSON",
      [{ path: "package/package.json", content: "{" }],
      "not valid JSON",
    ],
    [
      "package.json that is a list",
      [{ path: "package/package.json", content: "[]" }],
      "not an object",
    ],
    ["no name", appEntries({ name: "" }), 'lacks the text "name"'],
    ["no version", appEntries({ version: 1 }), 'lacks the text "version"'],
    ["no countersign section", appEntries({ countersign: null }), 'lacks the object "countersign"'],
    ["no entry point", appEntries({ countersign: {} }), "names no entry point"],
    [
      "an absolute entry point",
      appEntries({ countersign: { serverapp: "/a.ts" } }),
      'starts with "./"',
    ],
    [
      "a missing entry point",
      appEntries({ countersign: { serverapp: "./a.ts" } }),
      "which it does not hold",
    ],
    [
      "an entry point that leaves the bundle",
      appEntries({ countersign: { serverapp: "./../a.ts" } }),
      "which it does not hold",
    ],
    [
      "a list in the config",
      appEntries({ countersign: { ...manifest.countersign, config: { a: [1] } } }),
      'config value "a" must be',
    ],
    [
      "a dependency that is a path",
      appEntries({ dependencies: { "../x": "1" } }),
      "which is no package name",
    ],
  ])("refuses a bundle with %s", async (_, entries, message) => {
    await expect(readBundle(archive(entries))).rejects.toThrow(message);
  });

  test("keeps a configuration key named __proto__ as a key like any other", async () => {
    const text = JSON.stringify(manifest).replace('"num-rounds":3', '"__proto__":"x"');
    const [, ...rest] = appEntries();
    const bundle = await readBundle(
      archive([{ path: "package/package.json", content: text }, ...rest]),
    );
    expect(Object.keys(bundle.config)).toContain("__proto__");
  });
});

describe("installBundle", () => {
  const install = async (entries: readonly Entry[], name: string) => {
    const bundle = await readBundle(archive(entries));
    return installBundle(bundle, join(directory, name));
  };

  test("the installed app imports its own files, countersign and its dependencies", async () => {
    const installed = await install(
      [
        {
          path: "package/package.json",
          content: JSON.stringify({ ...manifest, dependencies: { "ml-matrix": "^6.15.1" } }),
        },
        {
          path: "package/server-app.ts",
          content: `import { Matrix } from "ml-matrix";
            import { createRequire } from "node:module";
            import { answer } from "./answer.ts";
            const own = createRequire(import.meta.url)("countersign/package.json").name;
            export default { trace: Matrix.eye(3).trace(), own, answer };`,
        },
        { path: "package/answer.ts", content: "export const answer: number = 42;" },
        { path: "package/lib/client-app.ts", content: "export default 2;" },
      ],
      "imports",
    );
    expect(await loadEntryPoint(installed, "serverapp")).toEqual({
      trace: 3,
      own: "countersign",
      answer: 42,
    });
  });

  test("twenty installations at once give one directory, complete, and no drafts", async () => {
    const bundle = await readBundle(archive(appEntries()));
    const place = join(directory, "at-once");
    const installed = await Promise.all(
      Array.from({ length: 20 }, () => installBundle(bundle, place)),
    );
    expect(new Set(installed.map(({ root }) => root)).size).toBe(1);
    const [only, ...others] = await readdir(place);
    expect(others).toEqual([]);
    expect(only).toMatch(new RegExp(`^${bundle.id}-[0-9a-f]{16}$`));
    expect(await loadEntryPoint(await installBundle(bundle, place), "clientapp")).toBe(2);
  });

  test("refuses a dependency that the environment lacks, and leaves nothing behind", async () => {
    const entries = appEntries({ dependencies: { "no-such-package-here": "1" } });
    await expect(install(entries, "lacking")).rejects.toThrow(
      'depends on the package "no-such-package-here", which is not installed beside countersign',
    );
    await expect(readdir(join(directory, "lacking"))).rejects.toThrow("ENOENT");
  });

  test("an app the bundle does not name, or without default export, is a clear error", async () => {
    const installed = await install(
      [
        ...appEntries({ countersign: { serverapp: "./server-app.ts" } }).slice(0, 1),
        { path: "package/server-app.ts", content: "export const app = 1;" },
      ],
      "no-default",
    );
    await expect(loadEntryPoint(installed, "clientapp")).rejects.toThrow("has no clientapp");
    await expect(loadEntryPoint(installed, "serverapp")).rejects.toThrow("no default export");
  });
});

describe("packBundle", () => {
  async function writeApp(name: string): Promise<string> {
    const app = join(directory, name);
    await mkdir(join(app, "lib"), { recursive: true });
    await writeFile(
      join(app, "package.json"),
      JSON.stringify({ ...manifest, files: ["*.ts", "lib"] }),
    );
    await writeFile(join(app, "server-app.ts"), "export default 1;");
    await writeFile(join(app, "lib", "client-app.ts"), "export default 2;");
    await writeFile(join(app, "secret.txt"), "not to be packed");
    return app;
  }

  test("packs what npm pack packs, with the same bytes each time", async () => {
    const app = await writeApp("packed");
    const bytes = await packBundle(app);
    const bundle: AppBundle = await readBundle(bytes);
    expect([...bundle.files.keys()].sort()).toEqual([
      "lib/client-app.ts",
      "package.json",
      "server-app.ts",
    ]);
    expect(bundleId(await packBundle(app))).toBe(bundle.id);
    await promisify(execFile)("npm", ["pack", "--silent", app], { cwd: directory });
    expect(bundleId(await readFile(join(directory, "example-app-1.2.3.tgz")))).toBe(bundle.id);
  });

  test("fails for a directory that is no app", async () => {
    await mkdir(join(directory, "empty"), { recursive: true });
    await expect(packBundle(join(directory, "empty"))).rejects.toThrow();
  });
});
