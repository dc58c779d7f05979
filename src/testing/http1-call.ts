import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Flood } from "./flood.ts";
import { type Ending, type ExchangeLimits, entriesOf, type RawAnswer } from "./raw-answer.ts";
import type { HeaderEntries, RawRequest } from "./raw-request.ts";
import type { CheckedTarget } from "./target.ts";

/** What a flood announces: more than any server could want. */
const announcedFloodBytes = 2 ** 40;

/** Sends a request on an HTTP/1.1 connection of its own. Never rejects. */
export function callHttp1(
  target: CheckedTarget,
  request: RawRequest,
  limits: ExchangeLimits,
): Promise<RawAnswer> {
  const head = Buffer.from(headOf(target, request), "latin1");
  return new Promise((resolve) => {
    const socket = openSocket(target);
    const chunks: Buffer[] = [];
    let receivedBytes = 0;
    let isConnected = false;
    const sentBodyBytes = () =>
      Math.max(0, socket.bytesWritten - socket.writableLength - head.byteLength);
    const flood = new Flood(limits.floodBytes, (chunk, then) => socket.write(chunk, then));
    const settle = (ending: Ending, isOver: boolean) => {
      const answer = parseAnswer(Buffer.concat(chunks), isOver);
      clearTimeout(timer);
      flood.stop();
      const sent = { sentBodyBytes: sentBodyBytes() };
      socket.destroy();
      resolve(answer === undefined ? { ...nothing, ending, ...sent } : { ...answer, ...sent });
    };
    const timer = setTimeout(() => settle("timeout", false), limits.timeoutMs);
    flood.onFull = () => settle("timeout", false);
    socket.once(target.isTls ? "secureConnect" : "connect", () => {
      isConnected = true;
      socket.write(Buffer.concat([head, request.body]));
      if (request.afterBody === "flood") {
        flood.start();
      } else if (request.afterBody === "end" && request.announcedBytes !== undefined) {
        socket.end();
      }
    });
    socket.on("data", (chunk: Buffer) => {
      receivedBytes += chunk.byteLength;
      if (receivedBytes > limits.answerBytes) {
        settle("timeout", false);
        return;
      }
      chunks.push(chunk);
      // A server that goes on reading a refused upload is found by going on with it.
      if (request.afterBody !== "flood" && parseAnswer(Buffer.concat(chunks), false)) {
        settle("answered", false);
      }
    });
    socket.on("error", () => {});
    socket.once("end", () => settle("reset", true));
    socket.once("close", () => settle(isConnected ? "reset" : "unreachable", true));
  });
}

const nothing = { status: 0, headers: [], body: Buffer.alloc(0), trailers: [] };

function openSocket({ isTls, host, port, ca }: CheckedTarget): Socket {
  return isTls
    ? connectTls({
        host,
        port,
        ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
        ...(ca === undefined ? {} : { ca }),
        ALPNProtocols: ["http/1.1"],
      })
    : connectTcp(port, host);
}

function headOf({ authority }: CheckedTarget, request: RawRequest): string {
  const { method, target, headers, body, afterBody } = request;
  const announced =
    request.announcedBytes ?? (afterBody === "flood" ? announcedFloodBytes : body.byteLength);
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `host: ${authority}`,
    "connection: close",
    ...(method === "POST" || announced > 0 ? [`content-length: ${announced}`] : []),
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

type Parsed = Omit<RawAnswer, "sentBodyBytes">;

/**
 * Reads the answer out of what a connection received; undefined while it is not whole.
 *
 * @param isOver - whether nothing more comes: then that is what ends a body of no known length.
 */
function parseAnswer(bytes: Buffer, isOver: boolean): Parsed | undefined {
  const text = bytes.toString("latin1");
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) {
    return undefined;
  }
  const [statusLine = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const status = Number(statusLine.split(" ")[1]);
  const rest = bytes.subarray(headEnd + 4);
  if (status >= 100 && status < 200) {
    return parseAnswer(rest, isOver);
  }
  const headers = entriesOf(lines.flatMap(splitField));
  const fields = new Map(headers);
  const found = { ending: "answered" as const, status, headers };
  if (fields.get("transfer-encoding") === "chunked") {
    const unchunked = unchunk(rest.toString("latin1"));
    return unchunked && { ...found, ...unchunked };
  }
  const length = fields.get("content-length");
  if (length === undefined ? !isOver : rest.byteLength < Number(length)) {
    return undefined;
  }
  const body = length === undefined ? rest : rest.subarray(0, Number(length));
  return { ...found, body: Buffer.from(body), trailers: [] };
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}

/** Takes chunks and trailers apart (RFC 9112, section 7.1); undefined while they are not whole. */
function unchunk(text: string): { body: Buffer; trailers: HeaderEntries } | undefined {
  const parts: string[] = [];
  for (let at = 0; ; ) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (lineEnd < 0 || !(size >= 0)) {
      return undefined;
    }
    const start = lineEnd + 2;
    if (size === 0) {
      const end = text.indexOf("\r\n\r\n", lineEnd);
      const lines = text.slice(start, Math.max(start, end)).split("\r\n");
      const trailers = entriesOf(lines.filter((line) => line.includes(":")).flatMap(splitField));
      return end < 0 ? undefined : { body: Buffer.from(parts.join(""), "latin1"), trailers };
    }
    if (text.length < start + size + 2) {
      return undefined;
    }
    parts.push(text.slice(start, start + size));
    at = start + size + 2;
  }
}
