import { PassThrough } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { readBody } from "../../src/serve/request-body.ts";

async function collect(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

describe("a body", () => {
  it("is what the stream carries", async () => {
    const stream = new PassThrough();
    stream.end("whole");
    expect(await collect(readBody(stream, undefined, () => false))).toBe("whole");
  });

  it("throws at its end if it is cut off, although the stream ended", async () => {
    const stream = new PassThrough();
    stream.end("half");
    const body = collect(readBody(stream, undefined, () => true));
    await expect(body).rejects.toSatisfy(
      (reason) => ConnectError.from(reason).code === Code.Canceled,
    );
  });

  it("throws if the stream breaks", async () => {
    const stream = new PassThrough();
    stream.write("half");
    const body = collect(readBody(stream, undefined, () => false));
    stream.destroy();
    await expect(body).rejects.toThrow("Premature close");
  });

  it("leaves the stream open when it is not read to its end", async () => {
    const stream = new PassThrough();
    stream.write("begin");
    for await (const _ of readBody(stream, undefined, () => false)) {
      break;
    }
    expect(stream.destroyed).toBe(false);
  });

  it("throws when more of it does not arrive in time", async () => {
    const stream = new PassThrough();
    stream.write("begin");
    const limit = { timeoutMs: 5, isTotal: false };
    await expect(collect(readBody(stream, limit, () => false))).rejects.toSatisfy(
      (reason) => ConnectError.from(reason).code === Code.DeadlineExceeded,
    );
  });
});
