import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { type BudgetedReader, ByteBudget } from "../../src/serve/byte-budget.ts";
import { frame, frameType, hello, requestHeaders } from "./http2-frames.ts";
import { header, serveMailbox } from "./mailbox-server.ts";
import { openHttp2, openSocket } from "./raw-http.ts";

const mebibyte = 1024 * 1024;

describe("a budget of bytes", () => {
  function makeReader(budget: ByteBudget, name: string, granted: string[]) {
    const reader: BudgetedReader = { onGranted: () => granted.push(name) };
    return { take: (bytes: number) => budget.take(reader, bytes), done: () => budget.done(reader) };
  }

  it("lets everybody read until it is used up, and then the first alone", () => {
    const granted: string[] = [];
    const budget = new ByteBudget(100);
    const first = makeReader(budget, "first", granted);
    const second = makeReader(budget, "second", granted);
    expect([first.take(50), second.take(50), first.take(1), second.take(1)]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(first.take(1_000)).toBe(true);
    expect(granted).toEqual([]);
  });

  it("lets the next one read when the first has all it wants", () => {
    const granted: string[] = [];
    const budget = new ByteBudget(100);
    const [first, second, third] = ["first", "second", "third"].map((name) =>
      makeReader(budget, name, granted),
    );
    first?.take(101);
    expect([second?.take(10), third?.take(10)]).toEqual([false, false]);
    first?.done();
    expect(granted).toEqual(["second"]);
    budget.release(101);
    expect(granted).toEqual(["second", "third"]);
    expect(budget.heldBytes).toBe(20);
  });
});

describe.each([
  ["lean path", true],
  ["connect's handlers", false],
])("%s: uploads beyond the budget", (_, leanPath) => {
  const budgetBytes = 4 * mebibyte;
  const uploadBytes = 3 * mebibyte;

  it("wait in the network, and all are answered", async () => {
    await using mailbox = await serveMailbox({
      leanPath,
      readMaxBytes: 16 * mebibyte,
      limits: { maxBodyBytes: budgetBytes },
    });
    const clients = [createGrpcTransport, createConnectTransport].map((create) =>
      createClient(
        Mailbox,
        create({
          baseUrl: mailbox.server.url,
          httpVersion: "2",
          // Node's clients reset calls while more than 10 MiB wait to be sent.
          nodeOptions: { maxSessionMemory: 1_000 },
        }),
      ),
    );
    const letter = { text: "x".repeat(uploadBytes) };
    const calls = Array.from({ length: 12 }, (_, i) =>
      clients[i % clients.length]?.sendLetter({ letter }, { headers: header }),
    );
    const answers = await Promise.all(calls);
    expect(answers.map((answer) => answer?.mailboxId)).toEqual(calls.map(() => 7n));
  });

  it("are read no further, but for the first one's", async () => {
    await using mailbox = await serveMailbox({
      leanPath,
      readMaxBytes: 16 * mebibyte,
      limits: { maxBodyBytes: budgetBytes, streamWindowBytes: 65_535 },
    });
    const session = openHttp2(mailbox.server.url);
    const uploads = Array.from({ length: 8 }, () => beginUpload(session, uploadBytes));
    // All but the last bytes: no upload can be done with.
    const sent = uploads.map((stream) => {
      let flushed = 0;
      const piece = Buffer.alloc(16 * 1024);
      const go = () => {
        if (flushed + piece.length < uploadBytes && !stream.destroyed) {
          stream.write(piece, () => {
            flushed += piece.length;
            go();
          });
        }
      };
      go();
      return () => flushed;
    });
    const total = () => sent.reduce((sum, one) => sum + one(), 0);
    // As much as the budget lets in, and the windows hold.
    await quiet(total);
    expect(total()).toBeGreaterThan(budgetBytes - 2 * mebibyte);
    expect(total()).toBeLessThan(budgetBytes + uploadBytes + 8 * 200_000);
    for (const stream of uploads) {
      stream.close(8);
    }
    await Promise.all(uploads.map((stream) => stream.destroyed || once(stream, "close")));
    // What they held is given back.
    const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
    const letter = { text: "x".repeat(uploadBytes) };
    expect((await client.sendLetter({ letter }, { headers: header })).mailboxId).toBe(7n);
    session.destroy();
  });

  it("go on one by one while handlers hold all that there is, and no more of them than there is room for", async () => {
    await using mailbox = await serveMailbox({
      leanPath,
      holdSendLetter: true,
      readMaxBytes: 16 * mebibyte,
      limits: { maxBodyBytes: budgetBytes },
    });
    const heldBytes = budgetBytes + mebibyte;
    const first = openHttp2(mailbox.server.url);
    const held = beginUpload(first, heldBytes);
    held.write(unknownField(heldBytes).subarray(0, -1));
    await quiet(() => first.socket.bytesWritten);
    const others = openHttp2(mailbox.server.url);
    for (let i = 0; i < 20; i++) {
      beginUpload(others, 2 * mebibyte).write(Buffer.alloc(2 * mebibyte - 1));
    }
    // A window of each.
    const sent = () => others.socket.bytesWritten;
    await quiet(sent);
    const waiting = sent();
    expect(waiting).toBeGreaterThan(15 * mebibyte);
    // The handler has all of it: the next one goes on.
    held.end(Buffer.alloc(1));
    await begun(mailbox.log, 1);
    await quiet(sent);
    const oneMore = sent();
    expect(oneMore - waiting).toBeLessThan(3 * mebibyte);
    // It has done with it: there is room for half of the budget.
    mailbox.log.release();
    await quiet(sent);
    expect(sent() - oneMore).toBeGreaterThan(mebibyte / 2);
    expect(sent() - oneMore).toBeLessThan(6 * mebibyte);
    first.destroy();
    others.destroy();
  });

  it.each(["nothing", "half a letter, and leave"])(
    "do not wait for callers who send %s",
    async (what) => {
      await using mailbox = await serveMailbox({
        leanPath,
        holdSendLetter: true,
        readMaxBytes: 16 * mebibyte,
        limits: { maxBodyBytes: mebibyte },
      });
      const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
      const letter = { text: "x".repeat(uploadBytes) };
      const calls = [client.sendLetter({ letter }, { headers: header })];
      await begun(mailbox.log, 1);
      // All that there is is held. These come before the next one, and keep it waiting if they count.
      const session = openHttp2(mailbox.server.url);
      const idle = ["SendLetter", "ImportLetters"].map((method) =>
        what === "nothing"
          ? session.request({
              ...uploadHeaders,
              ":path": `/countersign.example.v1.Mailbox/${method}`,
            })
          : beginUpload(session, uploadBytes, method),
      );
      for (const stream of idle) {
        stream.on("error", () => {});
        if (what !== "nothing") {
          stream.write(Buffer.alloc(100_000));
        }
      }
      await once(session, "remoteSettings");
      await quiet(() => session.socket.bytesWritten);
      calls.push(client.sendLetter({ letter }, { headers: header }));
      if (what !== "nothing") {
        for (const stream of idle) {
          stream.close(8);
        }
      }
      while (mailbox.log.began.filter((name) => name === "sendLetter").length < 2) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      mailbox.log.release();
      expect((await Promise.all(calls)).map(({ mailboxId }) => mailboxId)).toEqual([7n, 7n]);
      session.destroy();
    },
  );

  it("are answered with Unavailable when they wait too long", async () => {
    await using mailbox = await serveMailbox({
      leanPath,
      holdSendLetter: true,
      readMaxBytes: 16 * mebibyte,
      limits: { maxBodyBytes: mebibyte, bodyTimeoutMs: 300 },
    });
    const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
    const letter = { text: "x".repeat(uploadBytes) };
    const first = client.sendLetter({ letter }, { headers: header });
    await begun(mailbox.log, 1);
    // The first of those that are left may be read. It never ends, so the next waits.
    const session = openHttp2(mailbox.server.url);
    const endless = beginUpload(session, uploadBytes);
    const dribble = setInterval(() => endless.write(Buffer.alloc(100)), 20);
    await once(session, "remoteSettings");
    const reason = await client
      .sendLetter({ letter }, { headers: header })
      .catch((error: unknown) => error);
    expect(ConnectError.from(reason).code).toBe(Code.Unavailable);
    clearInterval(dribble);
    mailbox.log.release();
    expect((await first).mailboxId).toBe(7n);
    session.destroy();
  });
});

it.each([0, 8])(
  "an upload beyond the budget is over when it is reset with code %d",
  async (code) => {
    await using mailbox = await serveMailbox({
      readMaxBytes: 16 * mebibyte,
      limits: { maxBodyBytes: mebibyte, maxConcurrentCalls: 2 },
    });
    // The first may go on, and holds all that there is.
    const session = openHttp2(mailbox.server.url);
    const first = beginUpload(session, 3 * mebibyte);
    first.write(Buffer.alloc(mebibyte + 1));
    await once(session, "remoteSettings");
    const socket = await openSocket(mailbox.server.port);
    socket.resume();
    const path = "/countersign.example.v1.Mailbox/SendLetter";
    socket.write(
      Buffer.concat([
        hello,
        requestHeaders(1, path, "application/grpc", undefined, Object.entries(header)),
        frame(frameType.data, 0, 1, Buffer.from([0, 0, 0x20, 0, 0])),
        frame(frameType.data, 0, 1, Buffer.alloc(10_000)),
      ]),
    );
    const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
    const isServed = () =>
      client.getBulletin({}).then(
        () => true,
        (reason: unknown) => {
          expect(ConnectError.from(reason).code).toBe(Code.Unavailable);
          return false;
        },
      );
    while (await isServed()) {}
    socket.write(frame(frameType.resetStream, 0, 1, Buffer.from([0, 0, 0, code])));
    while (!(await isServed())) {}
    socket.destroy();
    session.destroy();
  },
);

const uploadHeaders = { ":method": "POST", "content-type": "application/grpc", ...header };

/** Opens a call and announces a message of a size. */
function beginUpload(
  session: ClientHttp2Session,
  uploadBytes: number,
  method = "SendLetter",
): ClientHttp2Stream {
  const stream = session.request({
    ...uploadHeaders,
    ":path": `/countersign.example.v1.Mailbox/${method}`,
  });
  stream.on("error", () => {});
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(uploadBytes, 1);
  stream.write(prefix);
  return stream;
}

/** A message of a size, and nothing that anybody knows in it. */
function unknownField(size: number): Buffer {
  const message = Buffer.alloc(size);
  // Field 15, and its length in four bytes of seven bits.
  const length = size - 5;
  const sevenBits = [0, 7, 14, 21].map((at) => ((length >> at) & 0x7f) | (at < 21 ? 0x80 : 0));
  message.set([0x7a, ...sevenBits]);
  return message;
}

/** Waits until handlers have begun. */
async function begun(log: { readonly began: readonly string[] }, count: number): Promise<void> {
  while (log.began.length < count) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Resolves when a number has stopped growing. */
async function quiet(read: () => number): Promise<void> {
  for (let last = -1, unchanged = 0; unchanged < 20; ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    unchanged = read() === last ? unchanged + 1 : 0;
    last = read();
  }
}
