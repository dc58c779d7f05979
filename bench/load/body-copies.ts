import { frame, storedBytes } from "../servers/answers.ts";
import { pushObjectPath } from "../servers/paths.ts";
import type { Subject } from "../subjects.ts";
import { assertOutcome } from "./check-answers.ts";
import { callUnary, openSession } from "./unary-call.ts";

/** Enough for what is made once to be there when the last ones come. */
const uploads = 5;

/** Uploads a message a few times, one after the other; returns how many times it was in the server's memory. */
export async function countBodyCopies(
  { url, label, token, server }: Subject,
  message: Uint8Array,
): Promise<number> {
  const session = openSession(url);
  try {
    await server.ask("watch bodies");
    for (let i = 0; i < uploads; i++) {
      const outcome = await callUnary(session, pushObjectPath, message, token);
      assertOutcome(`${label}: an upload`, outcome, {
        ...{ grpcStatus: "0", body: frame(storedBytes) },
      });
    }
    const { live } = await server.ask("seen bodies");
    return Number(live) / message.length;
  } finally {
    session.close();
  }
}
