import type { Readable } from "node:stream";
import { parseToken, type Token } from "../../policy/token.ts";

/** What a launcher tells the process it started. */
export interface LaunchInput {
  readonly token: Token;
  /** Aborted when stdin ends: the launcher keeps it open for as long as it lives. */
  readonly parentGone: AbortSignal;
}

/** A token has at most 4096 characters; what is longer than this without a line end is no launch input. */
const maxLineBytes = 16 * 1024;

/**
 * Reads a launcher's first line, `{"token": "..."}`, and watches for the end of the stream.
 *
 * @throws Error when the stream ends first or the line is something else; the message never shows the line
 */
export async function readLaunchInput(stdin: Readable): Promise<LaunchInput> {
  const parentGone = new AbortController();
  const line = await readFirstLine(stdin);
  const onEnd = (): void => parentGone.abort();
  stdin.once("end", onEnd).once("close", onEnd).once("error", onEnd);
  if (stdin.readableEnded || stdin.destroyed) onEnd();
  // Whatever else comes is not for us, but only a flowing stream tells its end.
  stdin.resume();
  return { token: tokenOf(line), parentGone: parentGone.signal };
}

function readFirstLine(stdin: Readable): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const onData = (part: Buffer): void => {
      received = Buffer.concat([received, part]);
      const end = received.indexOf("\n");
      if (end >= 0) settle(() => resolve(received.toString("utf8", 0, end)));
      else if (received.length > maxLineBytes) settle(() => reject(noToken()));
    };
    const onEnd = (): void => settle(() => reject(noToken()));
    const settle = (how: () => void): void => {
      stdin.off("data", onData).off("end", onEnd).off("close", onEnd).off("error", onEnd);
      stdin.pause();
      how();
    };
    stdin.on("data", onData).once("end", onEnd).once("close", onEnd).once("error", onEnd);
  });
}

function tokenOf(line: string): Token {
  try {
    const input: unknown = JSON.parse(line);
    if (typeof input === "object" && input !== null && "token" in input) {
      if (typeof input.token === "string") return parseToken(input.token);
    }
  } catch {
    // The parser's message would quote the line, and the line may hold the secret.
  }
  throw noToken();
}

function noToken(): Error {
  return new Error(
    'Expected {"token": "..."} as the first line of stdin: this command is started by a SuperExec.',
  );
}
