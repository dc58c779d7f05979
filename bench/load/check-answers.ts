import { frame, nodesBytes, storedBytes } from "../servers/answers.ts";
import { getNodesPath, pushObjectPath } from "../servers/paths.ts";
import type { Subject } from "../subjects.ts";
import { getNodesRequest, pushObjectRequest, unknownToken } from "./requests.ts";
import { callUnary, type Outcome, openSession } from "./unary-call.ts";

const mebibyte = 1024 * 1024;

/**
 * Checks that a server answers what it should, byte for byte: a benchmark of a
 * wrong answer is worth nothing.
 *
 * @throws Error that names the server and the call.
 */
export async function checkAnswers({ url, label, token, isGuarded }: Subject): Promise<void> {
  const session = openSession(url);
  const calls = [
    { path: getNodesPath, request: getNodesRequest, answer: nodesBytes },
    { path: pushObjectPath, request: pushObjectRequest(mebibyte), answer: storedBytes },
  ];
  try {
    for (const { path, request, answer } of calls) {
      const accepted = await callUnary(session, path, request, token);
      assertOutcome(`${label}: ${path}`, accepted, { grpcStatus: "0", body: frame(answer) });
      for (const wrong of isGuarded ? [undefined, unknownToken] : []) {
        const refused = await callUnary(session, path, request, wrong);
        const kind = wrong === undefined ? "without a token" : "with an unknown token";
        assertOutcome(`${label}: ${path} ${kind}`, refused, {
          grpcStatus: "16",
          body: Buffer.alloc(0),
        });
      }
    }
  } finally {
    session.close();
  }
}

/** @throws Error that says what came in the place of what was expected. */
export function assertOutcome(
  call: string,
  { httpStatus, grpcStatus, body }: Outcome,
  expected: Pick<Outcome, "grpcStatus" | "body">,
): void {
  if (httpStatus !== 200 || grpcStatus !== expected.grpcStatus || !body.equals(expected.body)) {
    throw new Error(
      `${call} was answered wrongly: HTTP ${httpStatus}, grpc-status ${grpcStatus}, ` +
        `${body.length} bytes ${body.subarray(0, 100).toString("hex")}; expected grpc-status ` +
        `${expected.grpcStatus} and ${expected.body.length} bytes`,
    );
  }
}
