import type { Column } from "./columns.ts";
import type { RawAnswer } from "./raw-answer.ts";
import type { HeaderEntries } from "./raw-request.ts";

/** How a call ended: the code in gRPC's words whatever the protocol, and the text. */
export interface Outcome {
  /**
   * `ok`, `unauthenticated` and so on; `HTTP 404` for an answer that is no RPC's;
   * `reset`, `unreachable` or `timeout` where none came.
   */
  readonly code: string;
  readonly text: string;
}

const codeNames: readonly string[] = [
  "ok",
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];

/** Reads how a call ended out of the bytes that came back. */
export function outcomeOf(column: Column, answer: RawAnswer): Outcome {
  const outcome =
    column.protocol === "gRPC" || column.protocol === "gRPC-web"
      ? grpcOutcome(answer)
      : column.isEnveloped
        ? streamOutcome(answer)
        : unaryOutcome(answer);
  if (outcome !== undefined) {
    return outcome;
  }
  return answer.ending === "answered"
    ? { code: `HTTP ${answer.status}`, text: "" }
    : { code: answer.ending, text: "" };
}

/** Whether a code is of an RPC protocol: not an HTTP status, nor the lack of an answer. */
export function isRpcCode(code: string): boolean {
  return codeNames.includes(code) || code.startsWith("status ");
}

function grpcOutcome({ headers, trailers, body }: RawAnswer): Outcome | undefined {
  const fields = new Map([...headers, ...trailers, ...webTrailers(body)]);
  const status = fields.get("grpc-status");
  if (status === undefined) {
    return undefined;
  }
  return {
    code: codeNames[Number(status)] ?? `status ${status}`,
    text: percentDecoded(fields.get("grpc-message") ?? ""),
  };
}

function streamOutcome({ status, body }: RawAnswer): Outcome | undefined {
  const end = envelopesIn(body).find(({ flags }) => (flags & 2) !== 0);
  if (status !== 200 || end === undefined) {
    return undefined;
  }
  const parsed = jsonIn(end.data);
  if (parsed === undefined) {
    return undefined;
  }
  return errorIn(Reflect.get(parsed, "error")) ?? { code: "ok", text: "" };
}

function unaryOutcome({ ending, status, body }: RawAnswer): Outcome | undefined {
  if (status === 200 && ending === "answered") {
    return { code: "ok", text: "" };
  }
  return errorIn(jsonIn(body));
}

function errorIn(error: unknown): Outcome | undefined {
  if (typeof error !== "object" || error === null) {
    return undefined;
  }
  const code: unknown = Reflect.get(error, "code");
  const text: unknown = Reflect.get(error, "message");
  return typeof code === "string"
    ? { code, text: typeof text === "string" ? text : "" }
    : undefined;
}

function jsonIn(bytes: Buffer): object | undefined {
  try {
    const parsed: unknown = JSON.parse(bytes.toString());
    return typeof parsed === "object" && parsed !== null ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function webTrailers(body: Buffer): HeaderEntries {
  const trailer = envelopesIn(body).find(({ flags }) => (flags & 0x80) !== 0);
  const lines = trailer?.data.toString("latin1").trim().split("\r\n") ?? [];
  return lines.flatMap((line): HeaderEntries => {
    const colon = line.indexOf(":");
    return colon < 0 ? [] : [[line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]];
  });
}

function envelopesIn(body: Buffer): { flags: number; data: Buffer }[] {
  const found: { flags: number; data: Buffer }[] = [];
  for (let at = 0; at + 5 <= body.length; ) {
    const size = body.readUInt32BE(at + 1);
    if (at + 5 + size > body.length) {
      break;
    }
    found.push({ flags: body.readUInt8(at), data: body.subarray(at + 5, at + 5 + size) });
    at += 5 + size;
  }
  return found;
}
