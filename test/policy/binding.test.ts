import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { definePolicy } from "countersign";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AddressSchema,
  type LetterSchema,
  Mailbox,
  SendLetterRequestSchema,
  WatchLettersRequestSchema,
} from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { session, sessionPolicy } from "../client/mailbox.ts";

const claims = { mailboxId: 7n };
const secret = "right";

/** Binds with a policy that is made in the test: mutation testing changes nothing that modules do as they load. */
function bind(message: Message): string | undefined {
  const method = Mailbox.methods.find(({ input }) => input.typeName === message.$typeName);
  const policy = definePolicy(Mailbox, { ...sessionPolicy.rules });
  const binder = method && policy.binderOf(method, session);
  if (binder === undefined) {
    throw new Error(`nothing is bound in ${message.$typeName}`);
  }
  return binder(message, claims, secret)?.toString();
}

const send = (init: MessageInitShape<typeof SendLetterRequestSchema>) =>
  create(SendLetterRequestSchema, init);

describe("a bound field", () => {
  it("that is unset is filled with the verified value", () => {
    const message = send({});
    expect(bind(message)).toBeUndefined();
    expect(message.mailboxId).toBe(7n);
  });

  it("that names the caller passes", () => {
    expect(bind(send({ mailboxId: 7n }))).toBeUndefined();
  });

  const field = (name: string) => `field countersign.example.v1.${name}`;

  it.each<[string, MessageInitShape<typeof SendLetterRequestSchema>, string]>([
    ["at the top", { mailboxId: 8n }, field("SendLetterRequest.mailbox_id")],
    ["nested", { letter: { from: { mailboxId: 8n } } }, field("Address.mailbox_id")],
    [
      "in a message that contains itself",
      { letter: { from: { copies: [{ copies: [{ mailboxId: 7n }, { mailboxId: 8n }] }] } } },
      field("Address.mailbox_id"),
    ],
    [
      "in a repeated message",
      { enclosures: [{}, { from: { mailboxId: 8n } }] },
      field("Address.mailbox_id"),
    ],
    [
      "in a oneof",
      { letter: { subject: { case: "mailboxId", value: 8n } } },
      field("Letter.mailbox_id"),
    ],
    [
      "in a oneof, where an explicit 0 is a claim",
      { letter: { subject: { case: "mailboxId", value: 0n } } },
      field("Letter.mailbox_id"),
    ],
    [
      "in a map",
      { letter: { answers: { first: { from: { mailboxId: 8n } } } } },
      field("Address.mailbox_id"),
    ],
    ["as another secret", { session: "wrong" }, field("SendLetterRequest.session")],
    ["as a longer secret", { session: "rightright" }, field("SendLetterRequest.session")],
    ["as a shorter secret", { session: "righ" }, field("SendLetterRequest.session")],
  ])("that names another caller %s is found", (_where, init, name) => {
    expect(bind(send(init))).toBe(name);
  });

  it("with explicit presence claims nothing when it is absent, and 0 when it is 0", () => {
    const absent = create(WatchLettersRequestSchema, {});
    expect(bind(absent)).toBeUndefined();
    expect(absent.mailboxId).toBe(7n);
    expect(bind(create(WatchLettersRequestSchema, { mailboxId: 0n }))).toBe(
      "field countersign.example.v1.WatchLettersRequest.mailbox_id",
    );
  });

  it("that carries the secret is emptied", () => {
    const message = send({ session: "right" });
    expect(bind(message)).toBeUndefined();
    expect(message.session).toBe("");
  });

  it("of another name stays as it is", () => {
    const message = send({ letter: { text: "hi", subject: { case: "place", value: "8" } } });
    expect(bind(message)).toBeUndefined();
    expect(message.letter?.text).toBe("hi");
    expect(message.letter?.subject).toEqual({ case: "place", value: "8" });
  });

  it.each<[string, unknown]>([
    ["null", null],
    ["a text", "letter"],
    ["a plain object", { from: { mailboxId: 7n } }],
  ])("is not looked for in %s where a message should be", (_what, letter) => {
    expect(() => bind(Object.assign(send({}), { letter }))).toThrow(
      new TypeError("a message field holds something else"),
    );
  });

  it("is refused when the verifier proved nothing for it", () => {
    const binder = sessionPolicy.binderOf(Mailbox.method.sendLetter, session);
    expect(binder?.(send({}), {}, secret)?.name).toBe("mailbox_id");
  });
});

describe("binding any request", () => {
  const id = fc.constantFrom(0n, 0n, 7n, 7n, 7n, 8n);
  const deep = { maxDepth: 3, depthIdentifier: "letter" };
  const { letter } = fc.letrec<{
    address: { mailboxId: bigint; copies: MessageInitShape<typeof AddressSchema>[] };
    letter: MessageInitShape<typeof LetterSchema>;
  }>((tie) => ({
    address: fc.record({
      mailboxId: id,
      copies: fc.oneof(deep, fc.constant<never[]>([]), fc.array(tie("address"), { maxLength: 2 })),
    }),
    letter: fc.record(
      {
        from: tie("address"),
        subject: fc.oneof(
          fc.record({ case: fc.constant("mailboxId" as const), value: id }),
          fc.record({ case: fc.constant("place" as const), value: fc.string() }),
        ),
        answers: fc.oneof(
          deep,
          fc.constant({}),
          fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), tie("letter"), { maxKeys: 2 }),
        ),
      },
      { requiredKeys: [] },
    ),
  }));
  const request = fc.record(
    {
      session: fc.constantFrom("", "right", "right", "wrong"),
      mailboxId: id,
      letter,
      enclosures: fc.array(letter, { maxLength: 3 }),
    },
    { requiredKeys: [] },
  );

  it("refuses exactly those that name another caller, and leaves only verified values", () => {
    let refused = 0;
    fc.assert(
      fc.property(request, (init) => {
        const message = send(init);
        const claimed = [...boundValues(reflect(SendLetterRequestSchema, message))];
        const foreign = claimed.some((value) => value !== 7n && value !== "right");
        const mismatch = bind(message);
        expect(mismatch !== undefined).toBe(foreign);
        refused += foreign ? 1 : 0;
        if (!foreign) {
          const left = [...boundValues(reflect(SendLetterRequestSchema, message))];
          expect(left.every((value) => value === 7n)).toBe(true);
          expect(message.mailboxId).toBe(7n);
          expect(message.session).toBe("");
        }
      }),
      { numRuns: 500 },
    );
    expect(refused).toBeGreaterThan(50);
  });
});

/** Every value that a message claims, found by reflection: written apart from the code under test. */
function* boundValues(message: ReflectMessage): Iterable<unknown> {
  for (const field of message.fields) {
    if (!message.isSet(field)) {
      continue;
    }
    const isBound = field.localName === "mailboxId" || field.localName === "session";
    switch (field.fieldKind) {
      case "scalar":
        if (isBound) {
          yield message.get(field);
        }
        break;
      case "message":
        yield* boundValues(message.get(field));
        break;
      case "list":
        for (const item of message.get(field)) {
          yield* claimedIn(item);
        }
        break;
      case "map":
        for (const [, item] of message.get(field)) {
          yield* claimedIn(item);
        }
        break;
    }
  }
}

function* claimedIn(item: unknown): Iterable<unknown> {
  if (isReflectMessage(item)) {
    yield* boundValues(item);
  }
}

function isReflectMessage(item: unknown): item is ReflectMessage & { desc: DescMessage } {
  return typeof item === "object" && item !== null && "desc" in item && "fields" in item;
}
