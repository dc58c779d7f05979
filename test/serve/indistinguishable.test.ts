import type { ClientHttp2Session } from "node:http2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { header, type MailboxServer, serveMailbox } from "./mailbox-server.ts";
import { http1Request, http2Request, openHttp2, sendBytes, withoutDate } from "./raw-http.ts";
import { post, type RpcShape } from "./rpc-shapes.ts";

const service = "/countersign.example.v1.Mailbox";
const protectedPaths = [
  "CountLetters",
  "SendLetter",
  "WatchLetters",
  "ImportLetters",
  "Converse",
].map((name) => `${service}/${name}`);
const unknownPaths = [
  `${service}/NoSuchMethod`,
  "/no.such.Service/Method",
  "/",
  `${service}/SendLetter/`,
  `${service}/sendLetter`,
  "//x",
];

const rpcShapes: RpcShape[] = [
  post("application/grpc"),
  post("application/grpc+proto", { "grpc-accept-encoding": "gzip" }),
  post("application/grpc+json", { "grpc-timeout": "nonsense" }),
  post("application/grpc+proto", { "grpc-encoding": "unknown" }),
  post("application/grpc-web+proto"),
  post("application/grpc-web+json", { "grpc-accept-encoding": "br,gzip" }),
  post("application/proto"),
  post("application/json; charset=utf-8", { "accept-encoding": "gzip" }),
  post("application/json", { "connect-timeout-ms": "x", "mailbox-session": "wrong" }),
  post("application/connect+proto"),
  post("application/connect+json", { "connect-accept-encoding": "gzip" }),
  { name: "GET json", method: "GET", query: "?encoding=json&message=%7B%7D", headers: {} },
  { name: "GET proto", method: "GET", query: "?connect=v1&encoding=proto&message=", headers: {} },
  {
    name: "GET with a content type",
    method: "GET",
    query: "?encoding=json",
    headers: { "content-type": "application/json" },
  },
];

const otherShapes: (RpcShape & { readonly status: number })[] = [
  { ...post("text/plain"), status: 415 },
  { ...post("application/grpc-web-text"), status: 415 },
  { ...post("application/connectproto"), status: 415 },
  { ...post("application/grpc; x=y"), status: 415 },
  { name: "POST without a content type", method: "POST", headers: {}, status: 415 },
  { name: "GET without a message", method: "GET", headers: {}, status: 415 },
  { name: "GET bad encoding", method: "GET", query: "?encoding=xml", headers: {}, status: 415 },
  {
    name: "GET with gRPC's content type",
    method: "GET",
    query: "?encoding=json",
    headers: { "content-type": "application/grpc" },
    status: 415,
  },
  { name: "PUT", method: "PUT", headers: { "content-type": "application/grpc" }, status: 405 },
  { name: "DELETE", method: "DELETE", headers: {}, status: 405 },
  { name: "OPTIONS", method: "OPTIONS", headers: {}, status: 405 },
  { name: "HEAD", method: "HEAD", query: "?encoding=json", headers: {}, status: 405 },
];

let mailbox: MailboxServer;
let session: ClientHttp2Session;
beforeAll(async () => {
  mailbox = await serveMailbox();
  session = openHttp2(mailbox.server.url);
});
afterAll(async () => {
  session.destroy();
  await mailbox[Symbol.asyncDispose]();
});

async function answersOver1(shape: RpcShape, paths: readonly string[]): Promise<string[]> {
  return Promise.all(
    paths.map(async (path) =>
      withoutDate(
        await sendBytes(
          mailbox.server.port,
          http1Request(shape.method, path + (shape.query ?? ""), shape.headers),
        ),
      ),
    ),
  );
}

async function answersOver2(shape: RpcShape, paths: readonly string[]): Promise<string[]> {
  return Promise.all(
    paths.map(async (path) =>
      JSON.stringify(
        await http2Request(session, {
          ":method": shape.method,
          ":path": path + (shape.query ?? ""),
          ...shape.headers,
        }),
      ),
    ),
  );
}

describe.each([
  ["HTTP/1.1", answersOver1],
  ["HTTP/2", answersOver2],
])("over %s", (_, answers) => {
  it.each(rpcShapes)(
    "$name: an unknown RPC is refused byte for byte as a protected one",
    async (shape) => {
      const ran = mailbox.log.began.length;
      const all = await answers(shape, [...protectedPaths, ...unknownPaths]);
      expect(new Set(all).size, [...new Set(all)].join("\n---\n")).toBe(1);
      expect(all[0]).toMatch(/Authentication(?: |%20)failed\./);
      expect(mailbox.log.began).toHaveLength(ran);
    },
  );

  it.each(otherShapes)(
    "$name: what is no RPC request gets $status on every path",
    async (shape) => {
      const openPath = `${service}/GetBulletin`;
      const all = await answers(shape, [...protectedPaths, ...unknownPaths, openPath]);
      expect(new Set(all).size, [...new Set(all)].join("\n---\n")).toBe(1);
      expect(all[0]).toMatch(new RegExp(`HTTP/1.1 ${shape.status} |":status","${shape.status}"`));
    },
  );
});

it("tells a caller with the credential what is wrong with the request", async () => {
  const ask = async (shape: RpcShape, path: string) => {
    const headers = { ...shape.headers, ...header };
    const answer = await sendBytes(
      mailbox.server.port,
      http1Request(shape.method, path + (shape.query ?? ""), headers),
    );
    return answer.split(" ", 2)[1];
  };
  expect(await ask(post("application/connect+proto"), `${service}/SendLetter`)).toBe("415");
  expect(await ask(post("application/proto"), `${service}/WatchLetters`)).toBe("415");
  expect(
    await ask(
      { name: "", method: "GET", query: "?encoding=json", headers: {} },
      `${service}/SendLetter`,
    ),
  ).toBe("405");
  expect(await ask(post("application/connect+proto"), `${service}/Converse`)).toBe("505");
  expect(await ask(post("application/proto"), `${service}/NoSuchMethod`)).toBe("401");
});

it("keeps protected answers to GET out of caches", async () => {
  const path = `${service}/CountLetters?encoding=json&message=%7B%7D`;
  const answers = await Promise.all([
    sendBytes(mailbox.server.port, http1Request("GET", path, header)),
    sendBytes(mailbox.server.port, http1Request("GET", path, {})),
  ]);
  expect(answers.map((answer) => answer.split(" ", 2)[1])).toEqual(["200", "401"]);
  for (const answer of answers) {
    expect(answer).toMatch(/^cache-control: no-store\r$/im);
  }
});
