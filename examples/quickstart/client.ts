import { createGrpcTransport } from "@connectrpc/connect-node";
import { createOpenClient, parseToken, transportTo } from "countersign";
import { MailboxClient } from "countersign/gen/countersign/example/v1/mailbox_countersign";
import { mailboxPolicy } from "./policy.ts";

const baseUrl = process.argv[2] ?? "http://127.0.0.1:9090";
const transport = transportTo(createGrpcTransport, { baseUrl });

// Without a credential: the open RPCs. `visitor.countLetters` does not compile.
const visitor = createOpenClient(mailboxPolicy, transport);
const { session } = await visitor.openSession({ mailboxId: 7n, key: "seven-keys" });

// With it: all of them. `{}` or `{ session: "" }` does not compile.
const mailbox = new MailboxClient(mailboxPolicy, transport, { session: parseToken(session) });
await mailbox.sendLetter({ letter: { text: "Hello" } });
console.log(`letters in mailbox 7: ${(await mailbox.countLetters({})).count}`);

// The token proves mailbox 7, so a request that names another one is refused.
await mailbox.countLetters({ mailboxId: 8n }).catch((error) => console.log(`${error}`));
