/**
 * Promise 1: a policy that misses an RPC, names one that does not exist, or
 * gives it something that is no rule does not compile; a widened descriptor is
 * refused, and so is a rule that the compiler does not know.
 */
import type { DescService } from "@bufbuild/protobuf";
import {
  anyOf,
  credential,
  definePolicy,
  open,
  type ProtectedRule,
  parseToken,
  type Rule,
  requires,
  type Token,
} from "countersign";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";

const session = credential("session", {
  header: "mailbox-session",
  secretField: "session",
  claims: { mailboxId: "bigint" },
});
const admin = credential("admin", { header: "mailbox-admin", claims: { role: "string" } });

const six = {
  getBulletin: open,
  openSession: open,
  countLetters: requires(session),
  sendLetter: requires(session),
  watchLetters: requires(session),
  importLetters: requires(session),
};

definePolicy(Mailbox, { ...six, converse: open });
definePolicy(Mailbox, { ...six, converse: requires(session) });
definePolicy(Mailbox, { ...six, converse: anyOf([session, admin]) });
definePolicy(Mailbox, { ...six, converse: requires(session, { unbound: "reads any mailbox" }) });

// @ts-expect-error an RPC without a rule: so an RPC added to a service breaks its table
definePolicy(Mailbox, { ...six });
// @ts-expect-error no RPC has a rule
definePolicy(Mailbox, {});
definePolicy(Mailbox, {
  ...six,
  converse: open,
  // @ts-expect-error an RPC that the service does not have: so a removed one breaks its table
  shred: open,
});
const withExtra = { ...six, converse: open, shred: open };
// @ts-expect-error an RPC that the service does not have, through a variable
definePolicy(Mailbox, withExtra);

// @ts-expect-error a string is no rule
definePolicy(Mailbox, { ...six, converse: "open" });
// @ts-expect-error a credential is no rule
definePolicy(Mailbox, { ...six, converse: session });
// @ts-expect-error nothing is no rule
definePolicy(Mailbox, { ...six, converse: undefined });
// @ts-expect-error a look-alike is no rule
definePolicy(Mailbox, { ...six, converse: { kind: "open" } });

const widened: DescService = Mailbox;
// @ts-expect-error a descriptor widened to DescService has no known methods
definePolicy(widened, { ...six, converse: open });
// @ts-expect-error a descriptor widened to DescService has no known methods, not even none
definePolicy(widened, {});

declare const isOpen: boolean;
declare const rule: Rule;
declare const protectedRule: ProtectedRule;
declare const anything: ReturnType<typeof JSON.parse>;
declare const reason: string | undefined;
// @ts-expect-error a union of rules is decided at run time
definePolicy(Mailbox, { ...six, converse: isOpen ? open : requires(session) });
// @ts-expect-error Rule is decided at run time
definePolicy(Mailbox, { ...six, converse: rule });
// @ts-expect-error ProtectedRule is decided at run time
definePolicy(Mailbox, { ...six, converse: protectedRule });
// @ts-expect-error any is decided at run time
definePolicy(Mailbox, { ...six, converse: anything });
// @ts-expect-error a credential chosen at run time
definePolicy(Mailbox, { ...six, converse: requires(isOpen ? session : admin) });
// @ts-expect-error a credential of anyOf chosen at run time
definePolicy(Mailbox, { ...six, converse: anyOf([session, isOpen ? session : admin]) });
const undecided = requires(session, reason === undefined ? {} : { unbound: reason });
// @ts-expect-error an exception chosen at run time
definePolicy(Mailbox, { ...six, converse: undecided });

// @ts-expect-error anyOf takes at least two credentials
anyOf([session]);
// @ts-expect-error an exception needs its reason
requires(session, { unbound: true });
credential("c", {
  header: "x-c",
  claims: {
    // @ts-expect-error a claim has one of five kinds
    at: "date",
  },
});
// @ts-expect-error a credential travels in one header or in several, not in both
credential("c", { header: "x-c", headers: ["x-d"], claims: {} });
// @ts-expect-error a signed credential has no secret to repeat
credential("c", { headers: ["x-d"], secretField: "token", claims: {} });
// @ts-expect-error `proves` narrows a claim, it does not change its kind
session.proves<{ mailboxId: string }>();

export const token: Token = parseToken("a");
// @ts-expect-error a plain string is no token
export const plain: Token = "a";
// @ts-expect-error an empty string is no token
export const empty: Token = "";

declare const options: import("countersign").RuleOptions;
const maybeUnbound = requires(session, options);
// @ts-expect-error whether the rule binds is decided at run time
definePolicy(Mailbox, { ...six, converse: maybeUnbound });
