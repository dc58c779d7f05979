import type { DescMethod, Message } from "@bufbuild/protobuf";
import { toBinary, toJsonString } from "@bufbuild/protobuf";
import type { AnyCredential } from "../policy/credential.ts";
import type { AnyPolicy } from "../policy/policy.ts";
import type { ProtectedRule } from "../policy/rule.ts";
import { type Column, misfitOf } from "./columns.ts";
import {
  type CredentialCase,
  type CredentialMaterials,
  credentialCases,
  type LiveCredential,
  presentedHeaders,
} from "./credential-cases.ts";
import { foreignRequests, messageWith } from "./foreign-claims.ts";
import { type HeaderEntries, type RawRequest, requestWith } from "./raw-request.ts";
import {
  emptyMessage,
  furtherTransportCases,
  garbageCase,
  plainCase,
  type TransportCase,
  type TransportExpectation,
} from "./transport-cases.ts";

/** What an answer must be: as for a hostile request, or the denial of what names another's. */
export type Expectation = TransportExpectation | "denial";

/** One call of the matrix. */
export interface Cell {
  readonly part: AttackPart;
  readonly column: Column;
  readonly credential: string;
  readonly request: string;
  readonly expects: Expectation;
  /** Whether no answer may depend on the body. */
  readonly isAboutBody: boolean;
  /** Whether its answer is compared byte for byte with those to the same request of other RPCs. */
  readonly isCompared: boolean;
  readonly isApart: boolean;
  /** Whether a handler may have begun: that of a stream begins before the stream's messages come. */
  readonly mayRunHandler: boolean;
  build(): Promise<RawRequest>;
}

/** What one policy classifies, or a path under which its server has nothing. */
export interface AttackPart {
  readonly policy: AnyPolicy;
  /** The RPC; undefined for those that do not exist. */
  readonly method: DescMethod | undefined;
  /** Name of the RPC, or `unknown RPCs`. */
  readonly name: string;
}

/** How much is combined: see `breadth` of the attack's options. */
export type Breadth = "pairs" | "all";

/** What cells are made of. */
export interface CellOptions {
  readonly columns: readonly Column[];
  readonly materials: CredentialMaterials;
  readonly breadth: Breadth;
}

const noSuchRpc = "NoSuchMethod";

/** The parts of a policy: what does not exist first, so that it is what the rest is compared with. */
export function partsOf(policy: AnyPolicy): readonly AttackPart[] {
  return [
    { policy, method: undefined, name: "unknown RPCs" },
    ...policy.service.methods.map((method) => ({ policy, method, name: method.name })),
  ];
}

/** Every cell of a part. */
export function* cellsOf(part: AttackPart, options: CellOptions): Generator<Cell> {
  const { policy, method } = part;
  const rule = method && policy.ruleOf(method);
  for (const column of options.columns) {
    if (method === undefined) {
      yield* unknownCells(part, column, options);
    } else if (rule?.kind === "protected") {
      yield* protectedCells(part, method, rule, column, options);
    } else {
      yield* openCells(part, method, column);
    }
  }
}

function* protectedCells(
  part: AttackPart,
  method: DescMethod,
  rule: ProtectedRule,
  column: Column,
  { materials, breadth }: CellOptions,
): Generator<Cell> {
  const path = pathOf(method);
  const credentials = credentialCases(rule.credentials, materials);
  if (misfitOf(method, column) !== undefined) {
    yield* product({ part, method, column, path }, strangers(credentials), [
      plainCase,
      garbageCase,
    ]);
    return;
  }
  yield* hostileCells({ part, method, column, path }, credentials, breadth);
  for (const credential of rule.credentials) {
    const live = materials[credential.name]?.live;
    if (live !== undefined) {
      yield* bodyAloneCells(part, method, column, credential, live);
      if (!rule.isUnbound) {
        yield* foreignCells(part, method, column, credential, live);
      }
    }
  }
}

/** The place of cells. */
interface Place {
  readonly part: AttackPart;
  /** The method that signers are told; of an unknown RPC one that exists. */
  readonly method: DescMethod;
  readonly column: Column;
  readonly path: string;
}

/** Every credential with a plain and a garbage body, and every request without a credential and with an unknown one. */
function* hostileCells(
  place: Place,
  credentials: readonly CredentialCase[],
  breadth: Breadth,
): Generator<Cell> {
  yield* product(place, credentials, [plainCase, garbageCase]);
  const others = breadth === "all" ? credentials : strangers(credentials);
  yield* product(
    place,
    others,
    furtherTransportCases.filter(({ expects, isApart }) => expects === "refusal" && !isApart),
  );
  yield* product(
    place,
    strangers(credentials).slice(0, 1),
    furtherTransportCases.filter(({ expects, isApart }) => expects !== "refusal" || isApart),
  );
}

/** Those who present nothing, and those who present what nobody has issued. */
function strangers(credentials: readonly CredentialCase[]): CredentialCase[] {
  return credentials.filter(({ name }) => /^no header$|\ban unknown one$/.test(name));
}

function* product(
  { part, method, column, path }: Place,
  credentials: readonly CredentialCase[],
  transports: readonly TransportCase[],
): Generator<Cell> {
  for (const transport of transports) {
    const { name, expects, isAboutBody, isApart } = transport;
    if (transport.request(column, path, []) === undefined) {
      continue;
    }
    for (const credential of credentials) {
      yield {
        part,
        column,
        credential: credential.name,
        request: name,
        expects,
        isAboutBody,
        isCompared: expects !== "failure",
        isApart,
        mayRunHandler: false,
        build: async () =>
          transport.request(column, path, await credential.present(method)) ??
          requestWith(column, path, [], []),
      };
    }
  }
}

function* unknownCells(
  part: AttackPart,
  column: Column,
  { materials, breadth }: CellOptions,
): Generator<Cell> {
  const { service } = part.policy;
  const [method] = service.methods;
  if (method === undefined) {
    return;
  }
  const known = credentialsOf(part.policy);
  const credentials = known.length === 0 ? [nobody] : credentialCases(known, materials);
  const at = (path: string): Place => ({
    part: { ...part, name: path },
    method,
    column,
    path,
  });
  const place = at(`/${service.typeName}/${noSuchRpc}`);
  yield* hostileCells(place, credentials, breadth);
  yield* product(place, liveCases(known, materials), [plainCase]);
  for (const path of [
    "/no.such.Service/Method",
    "/",
    `${pathOf(method)}/`,
    `/${service.typeName}/${method.localName}`,
    `/${pathOf(method)}`,
  ]) {
    if (path !== pathOf(method)) {
      yield* product(at(path), [nobody], [plainCase, garbageCase]);
    }
  }
}

/** Requests that no open RPC can do anything with. */
function* openCells(part: AttackPart, method: DescMethod, column: Column): Generator<Cell> {
  const fits = misfitOf(method, column) === undefined;
  const cases = [garbageCase, ...furtherTransportCases]
    .filter(({ isForOpen, expects }) => isForOpen && (fits || expects === "no RPC"))
    // What a protected RPC refuses on its headers, an open one fails to read.
    .map((one) => (one.expects === "refusal" ? { ...one, expects: "failure" as const } : one));
  yield* product({ part, method, column, path: pathOf(method) }, [nobody], cases);
}

/** The secret where a body may repeat it, and nowhere else. */
function* bodyAloneCells(
  part: AttackPart,
  method: DescMethod,
  column: Column,
  credential: AnyCredential,
  live: LiveCredential,
): Generator<Cell> {
  const { secretField } = credential;
  const field = method.input.fields.find(({ localName }) => localName === secretField);
  if (field?.fieldKind !== "scalar" || typeof live.presented !== "string") {
    return;
  }
  const body = encode(column, method, messageWith(method.input, [field], live.presented));
  yield {
    ...{ part, column, expects: "refusal", isAboutBody: true, isCompared: true, isApart: false },
    mayRunHandler: false,
    credential: "in the body alone",
    request: plainCase.name,
    build: async () => requestWith(column, pathOf(method), [body], []),
  };
}

/** A live credential, and requests that name what it does not prove. */
function* foreignCells(
  part: AttackPart,
  method: DescMethod,
  column: Column,
  credential: AnyCredential,
  live: LiveCredential,
): Generator<Cell> {
  const isStream =
    method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
  for (const { path, message } of foreignRequests(method, credential, live)) {
    const foreign = encode(column, method, message);
    const cell = (request: string, messages: readonly Uint8Array[], isCompared: boolean): Cell => ({
      ...{ part, column, expects: "denial", isAboutBody: false, isCompared, isApart: false },
      mayRunHandler: isStream,
      credential: `${credential.name} of another caller`,
      request,
      build: async () => {
        const headers = await presentedHeaders(credential, live.presented, method);
        return requestWith(column, pathOf(method), messages, headers);
      },
    });
    yield cell(path, [foreign], true);
    if (isStream) {
      // The handler may have answered the first message before the second comes.
      yield cell(`${path} in the second message`, [emptyMessage(column), foreign], false);
    }
  }
}

const nobody: CredentialCase = { name: "no header", present: async () => [] };

function liveCases(
  credentials: readonly AnyCredential[],
  materials: CredentialMaterials,
): CredentialCase[] {
  return credentials.flatMap((credential) => {
    const live = materials[credential.name]?.live;
    return live === undefined
      ? []
      : [
          {
            name: `a live ${credential.name}`,
            present: (method: DescMethod): Promise<HeaderEntries> =>
              presentedHeaders(credential, live.presented, method),
          },
        ];
  });
}

/** Every credential that some rule of a policy requires. */
export function credentialsOf(policy: AnyPolicy): readonly AnyCredential[] {
  const found = new Set<AnyCredential>();
  for (const method of policy.service.methods) {
    const rule = policy.ruleOf(method);
    for (const credential of rule?.kind === "protected" ? rule.credentials : []) {
      found.add(credential);
    }
  }
  return [...found];
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encode({ protocol }: Column, { input }: DescMethod, message: Message): Uint8Array {
  return protocol === "Connect JSON"
    ? Buffer.from(toJsonString(input, message))
    : toBinary(input, message);
}
