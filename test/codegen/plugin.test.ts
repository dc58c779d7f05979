import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { CodeGeneratorRequestSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { file_countersign_example_v1_mailbox as mailboxFile } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { file_flwr_proto_node as nodeFile } from "../../gen/flwr/proto/node_pb.ts";
import { protocGenCountersign } from "../../src/codegen/plugin.ts";
import { createProject, type Project } from "./project.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe("run by buf", () => {
  let project: Project;
  beforeAll(async () => {
    project = await createProject();
    await project.generate("proto", "mailbox", ["target=ts", "import_extension=ts"], {
      paths: ["countersign/example"],
      ours: ["elide_plugin_version=true"],
    });
    const nasty = "test/codegen/fixtures/proto";
    await project.generate(nasty, "ts", ["target=ts", "import_extension=ts"]);
    await project.generate(nasty, "js", ["target=js+dts", "import_extension=js"]);
  });
  afterAll(() => project?.[Symbol.asyncDispose]());
  const read = (path: string) => readFile(join(project.directory, path), "utf8");

  test("writes the client of the Mailbox service that is committed", async () => {
    const path = "countersign/example/v1/mailbox_countersign.ts";
    expect(await read(`mailbox/${path}`)).toBe(await readFile(join(root, "gen", path), "utf8"));
  });

  test("writes nothing for a file without services", () => {
    const exists = (path: string) => existsSync(join(project.directory, path));
    expect(exists("ts/nasty/messages_pb.ts")).toBe(true);
    expect(exists("ts/nasty/messages_countersign.ts")).toBe(false);
    expect(exists("ts/global_countersign.ts")).toBe(true);
  });

  test("writes TypeScript that compiles under every strict flag", async () => {
    await project.write(
      "use.ts",
      `import type { FooClient } from "./ts/nasty/deep/v1/services_countersign.ts";
       import type { Promise as Message } from "./ts/nasty/messages_pb.ts";
       export const call = (foo: FooClient): Promise<Message> => foo.constructor$({ text: "a" });
       export const flow = (foo: FooClient): AsyncIterable<{ text: string }> => foo.toString$({});
       export const { policyClient, PromiseClient, EmptyClient } =
         await import("./ts/nasty/deep/v1/services_countersign.ts");
       export { GlobalClient } from "./ts/global_countersign.ts";
       // @ts-expect-error the policy, the transport and the credentials are missing
       new PromiseClient();
      `,
    );
    expect(await project.compile(["use.ts"])).toEqual([]);
  });

  test("writes JavaScript that works, with declarations that compile for a consumer", async () => {
    await project.write(
      "run.ts",
      `import { createRouterTransport } from "@connectrpc/connect";
       import { credential, definePolicy, inProcess, open, parseToken, requires } from "countersign";
       import { EmptyClient, FooClient, policyClient } from "./js/nasty/deep/v1/services_countersign.js";
       import { Empty, Foo, policy } from "./js/nasty/deep/v1/services_pb.js";

       const key = credential("key", { header: "x-key", claims: { owner: "string" } });
       const fooPolicy = definePolicy(Foo, {
         constructor$: requires(key), toString$: requires(key), toJSON$: open, valueOf$: open,
         static: open, delete: requires(key), get_snake_case: open, await: open,
       });
       const transport = inProcess(createRouterTransport((router) => {
         router.service(Foo, {
           constructor$: (request, context) => ({ text: request.text + context.requestHeader.get("x-key") }),
           async *toString$({ text }) { yield { text }; yield { text }; },
         });
         router.service(policy, { name: () => ({}) });
       }));
       const client = new FooClient(fooPolicy, transport, { key: parseToken("42") });
       const texts: string[] = [(await client.constructor$({ text: "the answer: " })).text];
       for await (const { text } of client.toString$({ text: "again" })) {
         texts.push(text);
       }
       await new policyClient(definePolicy(policy, { name: open }), transport, {}).name({});
       new EmptyClient(definePolicy(Empty, {}), transport, {});
       try {
         new EmptyClient(fooPolicy as never, transport, {});
       } catch (reason) {
         texts.push(String(reason));
       }
       console.log(texts.join("\\n"));
      `,
    );
    expect(await project.compile(["run.ts"], { skipLibCheck: false })).toEqual([]);
    expect((await project.run("run.ts")).trimEnd().split("\n")).toEqual([
      "the answer: 42",
      "again",
      "again",
      `TypeError: "policy" is a policy of nasty.deep.v1.Foo, and not of this client's own descriptor of nasty.deep.v1.Empty`,
    ]);
  });

  test.each([
    "ts/nasty/deep/v1/services_countersign.ts",
    "js/nasty/deep/v1/services_countersign.js",
  ])("keeps comments and deprecations in %s", async (path) => {
    const text = await read(path);
    expect(text).toContain("   * Ends here: *\\/ export const evil = 1; /*\n");
    expect(text).toContain(" * A comment that ends *\\/ early, and holds `code`.\n");
    expect(text).toContain("   * A trailing comment.\n");
    expect(text).toMatch(/@generated from rpc nasty\.deep\.v1\.Foo\.Await\n {3}\* @deprecated\n/);
    expect(text).toMatch(/@generated from service nasty\.deep\.v1\.policy\n \* @deprecated\n/);
  });
});

describe("the options", () => {
  const generate = (parameter: string, file = mailboxFile) => {
    const response = protocGenCountersign.run(
      create(CodeGeneratorRequestSchema, {
        parameter,
        fileToGenerate: [file.proto.name],
        protoFile: [file.proto],
      }),
    );
    return response.file.map(({ name, content }) => ({
      name,
      imports: [...(content ?? "").matchAll(/ from "(.*)";/g)].map(([, from]) => from),
    }));
  };
  const dir = "countersign/example/v1";
  const peers = ["@bufbuild/protobuf", "@connectrpc/connect"];
  const importsOf = (parameter: string) => [...new Set(generate(parameter)[0]?.imports)].sort();

  test("target chooses what is written", () => {
    const names = (parameter: string) => generate(parameter).map(({ name }) => name);
    expect(names("target=ts")).toEqual([`${dir}/mailbox_countersign.ts`]);
    expect(names("target=js+dts")).toEqual([
      `${dir}/mailbox_countersign.js`,
      `${dir}/mailbox_countersign.d.ts`,
    ]);
    expect(generate("target=ts", nodeFile)).toEqual([]);
  });

  test("generated code imports the package's public entry and its peers only", () => {
    expect(importsOf("target=ts,import_extension=ts")).toEqual([
      "./mailbox_pb.ts",
      ...peers,
      "countersign",
    ]);
    expect(importsOf("target=js,import_extension=js")).toEqual(["./mailbox_pb.js", "countersign"]);
    expect(importsOf("target=dts,import_extension=js")).toEqual([
      "./mailbox_pb.js",
      ...peers,
      "countersign",
    ]);
    expect(importsOf("target=ts,import_extension=none")).toContain("./mailbox_pb");
  });

  test("runtime_import changes where the runtime comes from", () => {
    const packaged = importsOf("target=ts,import_extension=js,runtime_import=@acme/countersign");
    expect(packaged).toEqual(["./mailbox_pb.js", "@acme/countersign", ...peers]);
    const local = importsOf("target=ts,import_extension=ts,runtime_import=./lib/countersign.js");
    expect(local).toEqual(["../../../lib/countersign.ts", "./mailbox_pb.ts", ...peers]);
  });

  test.each(["runtime_import=", "runtime_imports=a"])("%s is refused", (parameter) => {
    expect(() => generate(parameter)).toThrow(
      `invalid option "${parameter}": the one option of its own is "runtime_import", a module to import from`,
    );
  });
});
