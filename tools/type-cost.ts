import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type PackedConsumer, root, versionOf } from "./packed-consumer.ts";

/** What a policy, and what stands on it, costs a compiler. */
export interface TypeCost {
  /** Instantiations of types for a policy of 200 RPCs, without those of what it imports. */
  readonly policy: number;
  /** Instantiations for the whole file: the policy, 200 handlers, two clients, 200 calls. */
  readonly guarded: number;
  /** The same for a file that does as much with connect alone. */
  readonly plain: number;
  /**
   * Time that processors computed for the compiler on the guarded file, in
   * seconds: of three tries, the least. Undefined for TypeScript 7, which is no program of Node.
   */
  readonly guardedSeconds: number | undefined;
}

const rpcs = Array.from({ length: 200 }, (_, index) => ({
  name: `call${index}`,
  isOpen: index % 5 === 0,
  isStream: index % 4 === 1,
}));

const proto = `syntax = "proto3";
package big.v1;
service Big {
${rpcs.map(({ name, isStream }) => `  rpc C${name.slice(1)}(${name}Request) returns (${isStream ? "stream " : ""}${name}Response);`).join("\n")}
}
${rpcs.map(({ name }) => `message ${name}Request { int64 mailbox_id = 1; string text = 2; }\nmessage ${name}Response { string text = 1; }`).join("\n")}
`;

const imports = `import { createAuthenticatedClient, createGuard, createOpenClient, credential, definePolicy, open, parseToken, requires,
  service, transportTo } from "countersign";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Big } from "./gen/big/v1/big_pb.js";
`;

const importsAlone = `${imports}export { Big, createAuthenticatedClient, createGrpcTransport, createGuard, createOpenClient, credential,
  definePolicy, open, parseToken, requires, service, transportTo };
`;

const policy = `${imports}
export const session = credential("session", { header: "the-session", claims: { mailboxId: "bigint" } });
export const policy = definePolicy(Big, {
${rpcs.map(({ name, isOpen }) => `  ${name}: ${isOpen ? "open" : "requires(session)"},`).join("\n")}
});
`;

const calls = rpcs
  .map(({ name, isStream }) =>
    isStream
      ? `for await (const { text } of client.${name}({ text: "a" })) console.log(text);`
      : `console.log((await client.${name}({ text: "a" })).text);`,
  )
  .join("\n");

/** @param seen - what a handler reads of its context, beside the request. */
function handlers(seen: (isOpen: boolean) => readonly [binding: string, value: string]): string {
  return rpcs
    .map(({ name, isOpen, isStream }) => {
      const [binding, value] = seen(isOpen);
      const answer = `{ text: \`\${request.text} \${${value}}\` }`;
      return isStream
        ? `  async *${name}(request, ${binding}) { yield ${answer}; },`
        : `  ${name}: (request, ${binding}) => (${answer}),`;
    })
    .join("\n");
}

const guarded = `${policy}
export const guard = createGuard({
  services: [service(policy, {
${handlers((isOpen) => (isOpen ? ["{ signal }", "signal.aborted"] : ["{ caller }", "caller.mailboxId"]))}
  })],
  verifiers: { session: () => ({ mailboxId: 1n }) },
});
const transport = transportTo(createGrpcTransport, { baseUrl: "http://127.0.0.1:1" });
const visitor = createOpenClient(policy, transport);
console.log((await visitor.call0({})).text);
const client = createAuthenticatedClient(policy, transport, { session: parseToken("a") });
${calls}
`;

const plain = `import { createClient, createConnectRouter, type ServiceImpl } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Big } from "./gen/big/v1/big_pb.js";

const implementation: ServiceImpl<typeof Big> = {
${handlers(() => ["{ signal }", "signal.aborted"])}
};
export const router = createConnectRouter().service(Big, implementation);
const client = createClient(Big, createGrpcTransport({ baseUrl: "http://127.0.0.1:1" }));
${calls}
`;

const folder = "type-cost";

/** Writes the files whose cost {@link typeCost} measures. */
export function writeTypeCostFiles(consumer: PackedConsumer): void {
  mkdirSync(join(consumer.directory, folder, "proto/big/v1"), { recursive: true });
  consumer.write(join(folder, "proto/big/v1/big.proto"), proto);
  const plugin = [
    process.execPath,
    `${root}node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es`,
  ];
  const template = {
    version: "v2",
    plugins: [{ local: plugin, out: "gen", opt: ["target=ts", "import_extension=js"] }],
  };
  const args = ["generate", "proto", "--template", JSON.stringify(template)];
  consumer.run(`${root}node_modules/.bin/buf`, args, { cwd: join(consumer.directory, folder) });
  for (const [name, content] of Object.entries({ importsAlone, policy, guarded, plain })) {
    consumer.write(join(folder, `${name}.ts`), content);
    consumer.write(join(folder, `${name}.json`), JSON.stringify(tsconfig(`${name}.ts`)));
  }
}

function tsconfig(file: string): object {
  const compilerOptions = {
    target: "es2024",
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    // Other packages' declarations cost the same with us and without.
    skipLibCheck: true,
    noEmit: true,
    types: ["node"],
  };
  return { compilerOptions, files: [file] };
}

/** Compiles the files, which must be without errors, and counts. */
export function typeCost(consumer: PackedConsumer, compiler: string): TypeCost {
  const measure = (name: string) => measureFile(consumer, compiler, join(folder, `${name}.json`));
  const tries = [measure("guarded"), measure("guarded"), measure("guarded")];
  const seconds = tries.flatMap((one) => one.seconds ?? []);
  return {
    policy: measure("policy").instantiations - measure("importsAlone").instantiations,
    guarded: Math.max(...tries.map(({ instantiations }) => instantiations)),
    plain: measure("plain").instantiations,
    guardedSeconds: seconds.length === 0 ? undefined : Math.min(...seconds),
  };
}

/** Prints, when a program of Node ends, how long it computed: what waiting for others adds to the clock's time is not its cost. */
const timer = `data:text/javascript,${encodeURIComponent(`
  process.on("exit", () => {
    console.log("Processor time: " + process.cpuUsage().user / 1e6);
  });
`)}`;

function measureFile(
  consumer: PackedConsumer,
  compiler: string,
  project: string,
): { readonly instantiations: number; readonly seconds: number | undefined } {
  const printed = consumer.node(
    ...["--import", timer, join("node_modules", compiler, "bin/tsc"), "--extendedDiagnostics"],
    // Several checkers would each instantiate what they share.
    ...(versionOf(compiler).startsWith("7.") ? ["--singleThreaded"] : []),
    ...["-p", project],
  );
  const instantiations = numberAfter("Instantiations:", printed);
  if (instantiations === undefined) {
    throw new Error("the compiler did not count its instantiations");
  }
  return { instantiations, seconds: numberAfter("Processor time:", printed) };
}

function numberAfter(label: string, printed: string): number | undefined {
  const [, number] = new RegExp(`^${label}\\s+([\\d.]+)`, "m").exec(printed) ?? [];
  return number === undefined ? undefined : Number(number);
}
