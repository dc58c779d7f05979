import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import type { DescMethod } from "@bufbuild/protobuf";

/** Header names and values; a list is sent as that many headers. */
export type RawHeaders = Readonly<Record<string, string | readonly string[]>>;

/** How a server answered. */
export interface RawAnswer {
  /** gRPC's status code. */
  readonly status: string;
  /** All that came back, in order and without the date. */
  readonly everything: string;
}

/** A connection on which calls are made header by header, as no client would. */
export interface RawConnection extends Disposable {
  call(method: DescMethod, headers: RawHeaders, request?: Uint8Array): Promise<RawAnswer>;
}

/** Opens a connection for {@link RawConnection}. */
export function openRaw(url: string): RawConnection {
  const session = connect(url);
  session.on("error", () => {});
  return {
    call: (method, headers, request) => call(session, method, headers, request),
    [Symbol.dispose]: () => session.destroy(),
  };
}

/** Encodes a `-bin` header as gRPC does. */
export function binary(value: string | Uint8Array): string {
  return Buffer.from(value).toString("base64").replace(/=+$/, "");
}

function call(
  session: ClientHttp2Session,
  method: DescMethod,
  headers: RawHeaders,
  request: Uint8Array = new Uint8Array(),
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ":method": "POST",
      ":path": `/${method.parent.typeName}/${method.name}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    const seen: string[] = [];
    let status = "none";
    const note = (fields: IncomingHttpHeaders) => {
      for (const [name, value] of Object.entries(fields)) {
        if (name !== "date") {
          seen.push(`${name}: ${value}`);
        }
        if (name === "grpc-status") {
          status = String(value);
        }
      }
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("data", (part: Buffer) => seen.push(part.toString("hex")));
    stream.on("error", reject);
    stream.on("close", () => resolve({ status, everything: seen.join("\n") }));
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(request.length, 1);
    stream.end(Buffer.concat([prefix, request]));
  });
}
