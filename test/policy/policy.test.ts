import { type DescService, fromBinary } from "@bufbuild/protobuf";
import { FieldDescriptorProto_Type } from "@bufbuild/protobuf/wkt";
import { credential, definePolicy, open, requires } from "countersign";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { eitherPolicy, session, sessionPolicy } from "../client/mailbox.ts";
import { oneFieldService } from "./one-field-service.ts";

const methodOf = (service: DescService, name: string) => {
  const found = service.methods.find(({ localName }) => localName === name);
  if (found === undefined) {
    throw new Error(`no RPC ${name}`);
  }
  return found;
};

/** What only `any` can smuggle past the compiler. */
const smuggle = (service: unknown, rules: unknown) => () =>
  definePolicy(service as typeof Mailbox, rules as typeof sessionPolicy.rules);

describe("definePolicy", () => {
  it("has a rule for every RPC of its service, and for no other", () => {
    for (const method of Mailbox.methods) {
      expect(sessionPolicy.ruleOf(method)).toBe(
        sessionPolicy.rules[method.localName as keyof typeof sessionPolicy.rules],
      );
    }
    const other = oneFieldService({ name: "a", type: FieldDescriptorProto_Type.STRING });
    expect(sessionPolicy.ruleOf(methodOf(other, "call"))).toBeUndefined();
  });

  it("cannot be changed afterwards", () => {
    expect(Object.isFrozen(sessionPolicy)).toBe(true);
    expect(Object.isFrozen(sessionPolicy.rules)).toBe(true);
  });

  it("does not follow a table that is changed afterwards", () => {
    const rules = { ...sessionPolicy.rules };
    const policy = definePolicy(Mailbox, rules);
    Reflect.set(rules, "sendLetter", open);
    expect(policy.ruleOf(Mailbox.method.sendLetter)?.kind).toBe("protected");
    expect(policy.rules.sendLetter.kind).toBe("protected");
  });

  it.each<[string, object, string]>([
    [
      "a missing RPC",
      { converse: undefined },
      "the policy of countersign.example.v1.Mailbox: converse needs a rule: open, requires(...) or anyOf(...)",
    ],
    [
      "a look-alike of a rule",
      { converse: { kind: "open" } },
      "the policy of countersign.example.v1.Mailbox: converse needs a rule: open, requires(...) or anyOf(...)",
    ],
    ...[null, "open", () => open].map((value): [string, object, string] => [
      `what is no rule (${typeof value})`,
      { converse: value },
      "the policy of countersign.example.v1.Mailbox: converse needs a rule: open, requires(...) or anyOf(...)",
    ]),
    [
      "an unknown RPC",
      { shred: open },
      "the policy of countersign.example.v1.Mailbox: the service has no RPC shred",
    ],
    [
      "two credentials of one name",
      { converse: requires(credential("session", { header: "b", claims: {} })) },
      'the policy of countersign.example.v1.Mailbox has two credentials of the name "session"',
    ],
  ])("refuses %s that any let through", (_what, rules, text) => {
    expect(smuggle(Mailbox, { ...sessionPolicy.rules, ...rules })).toThrow(new TypeError(text));
  });

  it("sees an RPC named like a property that every object inherits", () => {
    const service = oneFieldService({
      name: "a",
      type: FieldDescriptorProto_Type.STRING,
      rpc: "__proto__",
    });
    expect(smuggle(service, {})).toThrow(TypeError);
    const rules = Object.defineProperty({}, "__proto__", { value: open, enumerable: true });
    expect(smuggle(service, rules)().ruleOf(methodOf(service, "__proto__"))).toBe(open);
  });

  it.each<[string, FieldDescriptorProto_Type, string, string]>([
    ["an int32", FieldDescriptorProto_Type.INT32, "", "a number"],
    ["a string", FieldDescriptorProto_Type.STRING, "", "a string"],
    ["a message", FieldDescriptorProto_Type.MESSAGE, ".one.Response", "no plain value"],
    ["an enum", FieldDescriptorProto_Type.ENUM, ".one.Choice", "no plain value"],
  ])(
    "refuses a bound field that is %s where the claim is a bigint",
    (_what, type, typeName, is) => {
      const service = oneFieldService({ name: "mailbox_id", type, typeName });
      expect(smuggle(service, { call: requires(session) })).toThrow(
        new TypeError(
          `the policy of one.One: call: field one.Request.mailbox_id is ${is}, but claim "mailboxId" of credential "session" is a bigint`,
        ),
      );
      expect(smuggle(service, { call: requires(session, { unbound: "a test" }) })).not.toThrow();
      expect(smuggle(service, { call: open })).not.toThrow();
    },
  );

  it("refuses a bound field that is named as in the .proto file", () => {
    const misspelt = credential("session", { header: "a", claims: { mailbox_id: "bigint" } });
    const rules = {
      ...Object.fromEntries(Mailbox.methods.map(({ localName }) => [localName, open])),
      converse: requires(misspelt),
    };
    expect(smuggle(Mailbox, rules)).toThrow(
      new TypeError(
        'the policy of countersign.example.v1.Mailbox: converse: credential "session" binds "mailbox_id": name the field as in TypeScript, "mailboxId"',
      ),
    );
  });

  it("refuses a secret's field that is no string", () => {
    const service = oneFieldService({ name: "mailbox_id", type: FieldDescriptorProto_Type.INT64 });
    const keyed = credential("keyed", { header: "a", secretField: "mailboxId", claims: {} });
    expect(smuggle(service, { call: requires(keyed) })).toThrow(
      new TypeError(
        'the policy of one.One: call: field one.Request.mailbox_id is a bigint, but the secret of credential "keyed" is a string',
      ),
    );
  });

  it("wants a reason from a protected RPC that reaches an Any", () => {
    const service = oneFieldService({
      name: "detail",
      type: FieldDescriptorProto_Type.MESSAGE,
      typeName: ".google.protobuf.Any",
    });
    expect(smuggle(service, { call: requires(session) })).toThrow(
      new TypeError(
        'the policy of one.One: the request of call reaches a google.protobuf.Any through one.Request.detail, in which claims cannot be found: give the rule a "reachesAny" reason',
      ),
    );
    const reasons = { reachesAny: "a test", lacksField: "a test" };
    expect(smuggle(service, { call: requires(session, reasons) })).not.toThrow();
    expect(smuggle(service, { call: open })).not.toThrow();
  });

  it("wants a reason from a protected RPC whose request has extensions", () => {
    const service = oneFieldService({
      name: "a",
      type: FieldDescriptorProto_Type.STRING,
      hasExtensions: true,
    });
    const lacksField = "a test";
    expect(smuggle(service, { call: requires(session, { lacksField }) })).toThrow(
      'the request of call reaches a google.protobuf.Any through one.Request, in which claims cannot be found: give the rule a "reachesAny" reason',
    );
    const reasons = { lacksField, reachesAny: "a test" };
    expect(smuggle(service, { call: requires(session, reasons) })).not.toThrow();
  });

  it.each([
    ["secretField", { header: "a", secretField: "sesion", claims: {} }, "sesion"],
    [
      "binds",
      { header: "a", claims: { mailboxId: { kind: "bigint", binds: ["mailboxId", "boxId"] } } },
      "boxId",
    ],
  ] as const)(
    "refuses a field in %s that no request of the policy has",
    (_where, options, field) => {
      const misspelt = credential("misspelt", options);
      const allOpen = Object.fromEntries(Mailbox.methods.map(({ localName }) => [localName, open]));
      const rules = { ...allOpen, countLetters: requires(misspelt) };
      expect(smuggle(Mailbox, rules)).toThrow(
        new TypeError(
          `the policy of countersign.example.v1.Mailbox: credential "misspelt" names the field "${field}", which no request of an RPC that takes it has; ` +
            'if that is right, give one of the rules a "lacksField" reason',
        ),
      );
      const lacksField = requires(misspelt, { lacksField: "another service has it" });
      expect(smuggle(Mailbox, { ...rules, sendLetter: lacksField })).not.toThrow();
      const unbound = requires(misspelt, { unbound: "the handler compares" });
      expect(smuggle(Mailbox, { ...rules, countLetters: unbound })).not.toThrow();
      // One request that has it is enough, however deep: the others may lack it.
      const text = credential("text", { header: "b", secretField: "text", claims: {} });
      const nested = { countLetters: requires(text), sendLetter: requires(text) };
      expect(smuggle(Mailbox, { ...allOpen, ...nested })).not.toThrow();
    },
  );

  it("compiles a binder for what is bound, and none for what is not", () => {
    expect(sessionPolicy.binderOf(Mailbox.method.sendLetter, session)).toBeDefined();
    expect(sessionPolicy.binderOf(Mailbox.method.getBulletin, session)).toBeUndefined();
    expect(eitherPolicy.binderOf(Mailbox.method.converse, session)).toBeDefined();
    const free = credential("free", { header: "a", claims: { nobody: "string" } });
    const rules = { ...sessionPolicy.rules, countLetters: requires(free) };
    const policy = definePolicy(Mailbox, rules);
    expect(policy.binderOf(Mailbox.method.countLetters, free)).toBeUndefined();
    expect(policy.binderOf(Mailbox.method.countLetters, session)).toBeUndefined();
    const unbound = requires(session, { unbound: "a test" });
    const unboundPolicy = definePolicy(Mailbox, { ...rules, countLetters: unbound });
    expect(unboundPolicy.binderOf(Mailbox.method.countLetters, session)).toBeUndefined();
  });

  it.each([
    ["StringValue", "value"],
    ["Struct", "stringValue"],
    ["Value", "stringValue"],
    ["ListValue", "stringValue"],
  ])("does not look for fields in a google.protobuf.%s", (typeName, claim) => {
    const service = oneFieldService({
      name: "free",
      type: FieldDescriptorProto_Type.MESSAGE,
      typeName: `.google.protobuf.${typeName}`,
    });
    const proof = credential("proof", { header: "a", claims: { [claim]: "string" } });
    const policy = smuggle(service, { call: requires(proof) })();
    expect(policy.binderOf(methodOf(service, "call"), proof)).toBeUndefined();
  });
});

it("keeps descriptors apart from their bytes", () => {
  // A guard for the helper above: it must make real descriptors.
  const service = oneFieldService({ name: "a", type: FieldDescriptorProto_Type.STRING });
  expect(fromBinary(methodOf(service, "call").input, new Uint8Array([10, 1, 97]))).toMatchObject({
    a: "a",
  });
});
