import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { GeneratedFile, Printable, Schema, Target } from "@bufbuild/protoplugin";
import { type FreeNames, findFreeNames } from "./free-names.ts";

/** Options of protoc-gen-countersign, besides those of every plugin built on @bufbuild/protoplugin. */
export interface CountersignPluginOptions {
  /**
   * What generated files import the runtime from, set with
   * `runtime_import=...`: a package, or a path that begins with `./` and is
   * relative to the output directory. Default: `countersign`.
   */
  readonly runtimeImport: string;
}

/** What the parts of a file need to know about it. */
interface Output {
  readonly f: GeneratedFile;
  readonly names: FreeNames;
  readonly runtimeImport: string;
  readonly target: Target;
}

const extensions: Record<Target, string> = { ts: "ts", js: "js", dts: "d.ts" };

/** Writes a file with a client class per service for every proto file that has services. */
export function generateClients(schema: Schema<CountersignPluginOptions>, target: Target): void {
  for (const file of schema.files) {
    // A file without content is not written, unless keep_empty_files says so.
    const f = schema.generateFile(`${file.name}_countersign.${extensions[target]}`);
    f.preamble(file);
    const names = findFreeNames(f, file);
    for (const service of file.services) {
      const { runtimeImport } = schema.options;
      generateClient({ f, names, runtimeImport, target }, service);
    }
  }
}

function generateClient(output: Output, service: DescService): void {
  const { f } = output;
  f.print(f.jsDoc(service));
  generateHead(output, service);
  generateConstructor(output, service);
  for (const method of service.methods) {
    f.print();
    f.print(f.jsDoc(method, "  "));
    generateMethod(output, method);
  }
  f.print("}");
  f.print();
}

function generateHead({ f, names, runtimeImport, target }: Output, service: DescService): void {
  const className = `${service.name}Client`;
  const AnyPolicy = f.import("AnyPolicy", runtimeImport, true);
  const parameters = ["<", names.own("P"), " extends ", AnyPolicy, " = ", AnyPolicy, ">"];
  const Client = f.import("Client", "@connectrpc/connect", true);
  const Service = f.importSchema(service, true);
  // A service without RPCs needs no field: an unused one would not compile.
  const hasField = service.methods.length > 0;
  switch (target) {
    case "ts":
      f.print(f.export("class", className), parameters, " {");
      f.print(hasField ? ["  readonly #client: ", Client, "<typeof ", Service, ">;\n"] : []);
      break;
    case "js":
      f.print(f.export("class", className), " {");
      f.print(hasField ? "  #client;\n" : []);
      break;
    case "dts":
      f.print(f.export("declare class", className), parameters, " {");
      f.print(hasField ? "  #private;\n" : []);
      break;
  }
}

const constructorDoc = `Creates a client that presents its credentials on every call of a protected
RPC. The policy must be one of this service.

@throws TypeError if a credential is missing, unknown or malformed, or if the
transport may not carry secrets: see createAuthenticatedClient.`;

function generateConstructor(
  { f, names, runtimeImport, target }: Output,
  service: DescService,
): void {
  const runtime = (name: string) => f.import(name, runtimeImport, true);
  const [policy, transport, credentials, options] = [
    names.own("policy"),
    names.own("transport"),
    names.own("credentials"),
    names.own("options"),
  ];
  const P = names.own("P");
  const Service = ["typeof ", f.importSchema(service, true)];
  f.print(f.jsDoc(constructorDoc, "  "));
  if (target === "js") {
    f.print("  constructor(", policy, ", ", transport, ", ", credentials, ", ", options, ") {");
  } else {
    f.print("  constructor(");
    f.print("    ", policy, ": ", runtime("PolicyOf"), "<", Service, ", ", P, ">,");
    f.print("    ", transport, ": ", runtime("LocatedTransport"), ",");
    f.print("    ", credentials, ": ", runtime("ClientCredentials"), "<", P, ">,");
    f.print("    ", options, "?: ", runtime("ClientOptions"), ",");
    f.print(target === "ts" ? "  ) {" : "  );");
  }
  if (target !== "dts") {
    const create = f.import("createServiceClient", runtimeImport);
    const types = target === "ts" ? ["<", Service, ", ", P, ">"] : "";
    const rest = [policy, ", ", transport, ", ", credentials, ", ", options];
    const keep = service.methods.length > 0 ? "this.#client = " : "";
    f.print("    ", keep, create, types, "(", f.importSchema(service), ", ", rest, ");");
    f.print("  }");
  }
}

function generateMethod({ f, names, target }: Output, method: DescMethod): void {
  const name = method.localName;
  if (target === "js") {
    f.print("  ", name, "(request, options) {");
  } else {
    const CallOptions = f.import("CallOptions", "@connectrpc/connect", true);
    f.print("  ", name, "(");
    f.print("    request: ", requestType(f, names, method), ",");
    f.print("    options?: ", CallOptions, ",");
    f.print("  ): ", responseType(f, names, method), target === "ts" ? " {" : ";");
  }
  if (target !== "dts") {
    f.print("    return this.#client.", name, "(request, options);");
    f.print("  }");
  }
}

function requestType(f: GeneratedFile, names: FreeNames, method: DescMethod): Printable {
  const MessageInitShape = f.import("MessageInitShape", "@bufbuild/protobuf", true);
  const message = [MessageInitShape, "<typeof ", f.importSchema(method.input, true), ">"];
  const isStream =
    method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
  return isStream ? [names.global("AsyncIterable"), "<", message, ">"] : message;
}

function responseType(f: GeneratedFile, names: FreeNames, method: DescMethod): Printable {
  const isStream =
    method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming";
  const wrapper = names.global(isStream ? "AsyncIterable" : "Promise");
  return [wrapper, "<", f.importShape(method.output), ">"];
}
