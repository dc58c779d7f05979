import { randomBytes } from "node:crypto";
import {
  digestToken,
  isToken,
  parseToken,
  service,
  type TokenDigest,
  unimplemented,
} from "countersign";
import { serve } from "countersign/serve";
import { mailboxPolicy } from "./policy.ts";

const keyDigests = new Map([[7n, digestToken(parseToken("seven-keys"))]]);
const sessions = new Map<TokenDigest, bigint>();
const letters = new Map<bigint, string[]>();

const server = await serve({
  services: [
    service(mailboxPolicy, {
      getBulletin: () => ({ text: "Collected at noon." }),
      openSession: ({ mailboxId, key }) => {
        if (!isToken(key) || digestToken(key) !== keyDigests.get(mailboxId)) return {};
        const token = parseToken(randomBytes(32).toString("hex"));
        sessions.set(digestToken(token), mailboxId);
        return { session: token };
      },
      // `caller` is what the verifier proved. `request.mailboxId` does not compile here.
      countLetters: (_request, { caller }) => ({
        count: letters.get(caller.mailboxId)?.length ?? 0,
      }),
      sendLetter: ({ letter }, { caller }) => {
        const sent = letters.get(caller.mailboxId) ?? [];
        letters.set(caller.mailboxId, [...sent, letter?.text ?? ""]);
        return { mailboxId: caller.mailboxId };
      },
      watchLetters: unimplemented,
      importLetters: unimplemented,
      converse: unimplemented,
    }),
  ],
  verifiers: {
    // undefined refuses; so does a verifier that throws or takes too long.
    session: (token) => {
      const mailboxId = sessions.get(digestToken(token));
      return mailboxId === undefined ? undefined : { mailboxId };
    },
  },
  onDecision: ({ method, reason }) => console.log(`refused ${method}: ${reason}`),
  port: Number(process.env.PORT ?? 9090),
});
console.log(`Serving gRPC, gRPC-web and Connect on ${server.url}`);
