import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { corsLists } from "countersign/serve";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { type MailboxServer, mailboxPolicy, serveMailbox } from "./mailbox-server.ts";
import { http1Request, sendBytes } from "./raw-http.ts";

const bulletin = "/countersign.example.v1.Mailbox/GetBulletin";
const send = "/countersign.example.v1.Mailbox/SendLetter";
const page = "https://app.example.com";
const get = `${bulletin}?encoding=json&message=%7B%7D`;

interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function ask(mailbox: MailboxServer, { method = "POST", path = bulletin, headers }: Ask) {
  const type = method === "POST" ? { "content-type": "application/json" } : {};
  const request = http1Request(
    method,
    path,
    { ...type, ...headers },
    method === "POST" ? "{}" : "",
  );
  const answer = await sendBytes(mailbox.server.port, request);
  const head = answer.split("\r\n\r\n", 1)[0] ?? "";
  const fields = head
    .split("\r\n")
    .slice(1)
    .map((line): [string, string] => {
      const [name = "", value = ""] = line.split(": ", 2);
      return [name.toLowerCase(), value];
    });
  return { status: Number(answer.split(" ", 2)[1]), headers: new Map(fields), answer };
}

describe("without browsers", () => {
  let mailbox: MailboxServer;
  beforeAll(async () => {
    mailbox = await serveMailbox();
  });
  afterAll(() => mailbox[Symbol.asyncDispose]());

  it.each<[string, Ask]>([
    ["a page's POST", { headers: { origin: page } }],
    ["a page's POST from this machine", { headers: { origin: "http://localhost:3000" } }],
    ["a POST of a page without an origin", { headers: { origin: "null" } }],
    ["a cross-site GET", { method: "GET", path: get, headers: { "sec-fetch-site": "cross-site" } }],
    [
      "a same-origin GET",
      { method: "GET", path: get, headers: { "sec-fetch-site": "same-origin" } },
    ],
    [
      "an address that was typed in",
      { method: "GET", path: get, headers: { "sec-fetch-site": "none" } },
    ],
    [
      "a GET under a name that is not ours",
      { method: "GET", path: get, headers: { host: "evil.example.com" } },
    ],
    [
      "a preflight",
      {
        method: "OPTIONS",
        headers: { origin: page, "access-control-request-method": "POST" },
      },
    ],
  ])("refuses %s, even of an open RPC", async (_, question) => {
    const ran = mailbox.log.began.length;
    const { status, headers } = await ask(mailbox, question);
    expect(status).toBe(403);
    expect([...headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
    expect(mailbox.log.began).toHaveLength(ran);
  });

  it("refuses pages alike whatever they ask for", async () => {
    const answers = await Promise.all(
      [bulletin, send, "/no.such.Service/Method"].map(async (path) => {
        const { answer } = await ask(mailbox, { path, headers: { origin: page } });
        return answer.replace(/^date: .*\r\n/im, "");
      }),
    );
    expect(new Set(answers).size).toBe(1);
  });

  it.each(["127.0.0.1", "localhost:1234", "[::1]"])(
    "answers a GET without an origin under %s",
    async (host) => {
      const { status, headers } = await ask(mailbox, {
        method: "GET",
        path: get,
        headers: { host },
      });
      expect(status).toBe(200);
      expect([...headers.keys()]).not.toContain("access-control-allow-origin");
    },
  );
});

describe("with browsers", () => {
  let mailbox: MailboxServer;
  beforeAll(async () => {
    mailbox = await serveMailbox({
      browsers: {
        origins: [page, "http://api.example.com"],
        hosts: ["api.example.com", "localhost:8080"],
        allowedHeaders: ["x-trace"],
        exposedHeaders: ["trailer-x"],
      },
    });
  });
  afterAll(() => mailbox[Symbol.asyncDispose]());
  const host = "api.example.com";

  it("answers a listed page under a listed host, and lets it read the answer", async () => {
    const { status, headers } = await ask(mailbox, { headers: { origin: page, host } });
    expect(status).toBe(200);
    expect(headers.get("access-control-allow-origin")).toBe(page);
    expect(headers.get("access-control-expose-headers")).toContain("grpc-status");
    expect(headers.get("access-control-expose-headers")).toContain("trailer-x");
    expect(headers.get("vary")).toBe("origin");
    expect(headers.has("access-control-allow-credentials")).toBe(false);
  });

  it("lets a listed page read refusals", async () => {
    const { status, headers } = await ask(mailbox, { path: send, headers: { origin: page, host } });
    expect(status).toBe(401);
    expect(headers.get("access-control-allow-origin")).toBe(page);
  });

  it("answers a preflight with the headers of the protocols and of the credentials", async () => {
    const { status, headers } = await ask(mailbox, {
      method: "OPTIONS",
      path: send,
      headers: { origin: page, host, "access-control-request-method": "POST" },
    });
    expect(status).toBe(204);
    expect(headers.get("access-control-allow-origin")).toBe(page);
    expect(headers.get("access-control-allow-methods")).toBe("POST, GET");
    const allowed = headers.get("access-control-allow-headers")?.split(", ");
    expect(allowed).toEqual(expect.arrayContaining(["content-type", "mailbox-session", "x-trace"]));
    expect(headers.get("access-control-max-age")).toBe("7200");
  });

  it.each<[string, Record<string, string>]>([
    ["a page that is not listed", { origin: "https://evil.example.com", host }],
    ["another scheme", { origin: "http://app.example.com", host }],
    ["another port", { origin: `${page}:8443`, host }],
    ["a name that begins alike", { origin: `${page}.evil.example`, host }],
    ["an upper-case origin", { origin: "https://APP.example.com", host }],
    ["two origins in one", { origin: `${page}, ${page}`, host }],
    ["no origin", { "sec-fetch-site": "cross-site", host }],
    ["a host that is not listed", { origin: page, host: "evil.example.com" }],
    ["an address as host", { origin: page, host: "127.0.0.1" }],
    ["a listed host at another port", { origin: page, host: "localhost:9090" }],
    ["a name that ends alike", { origin: page, host: "x.api.example.com" }],
  ])("refuses %s", async (_, headers) => {
    expect((await ask(mailbox, { headers })).status).toBe(403);
  });

  it("takes a same-origin GET for one of the server's own origin", async () => {
    const headers = { "sec-fetch-site": "same-origin", host };
    expect((await ask(mailbox, { method: "GET", path: get, headers })).status).toBe(200);
    const other = { "sec-fetch-site": "same-origin", host: "localhost:8080" };
    expect((await ask(mailbox, { method: "GET", path: get, headers: other })).status).toBe(403);
  });

  it("answers callers that are no browsers under any host by POST", async () => {
    const { status, headers } = await ask(mailbox, { headers: { host: "other.example.com" } });
    expect(status).toBe(200);
    expect(headers.has("access-control-allow-origin")).toBe(false);
  });
});

it("works with connect's transport for browsers", async () => {
  await using mailbox = await serveMailbox({
    browsers: { origins: [page], hosts: ["127.0.0.1"] },
  });
  const clientOf = (origin: string) =>
    createClient(
      Mailbox,
      createConnectTransport({
        baseUrl: mailbox.server.url,
        fetch: (input, init) => {
          const headers = new Headers(init?.headers);
          headers.set("origin", origin);
          return fetch(input, { ...init, headers });
        },
      }),
    );
  expect((await clientOf(page).getBulletin({})).text).toBe("hello");
  await expect(clientOf("https://evil.example.com").getBulletin({})).rejects.toSatisfy(
    (reason) => ConnectError.from(reason).code === Code.PermissionDenied,
  );
});

it.each([
  [{ origins: ["*"], hosts: ["h"] }, /"browsers.origins" must list exact origins/],
  [{ origins: ["null"], hosts: ["h"] }, /"browsers.origins"/],
  [{ origins: ["https://app.example.com/"], hosts: ["h"] }, /"browsers.origins"/],
  [{ origins: ["https://app.example.com:443"], hosts: ["h"] }, /"browsers.origins"/],
  [{ origins: ["https://*.example.com"], hosts: ["h"] }, /"browsers.origins"/],
  [{ origins: [page], hosts: ["*"] }, /"browsers.hosts" must list host names/],
  [{ origins: [page], hosts: ["https://h"] }, /"browsers.hosts"/],
  [{ origins: [page], hosts: [] }, /"browsers" needs at least one/],
  [{ origins: [], hosts: ["h"] }, /"browsers" needs at least one/],
  [{ origins: [page], hosts: ["h"], maxAgeSeconds: Number.NaN }, /"browsers.maxAgeSeconds"/],
])("refuses to start with %j", async (browsers, message) => {
  await expect(serveMailbox({ browsers })).rejects.toThrow(message);
  await expect(serveMailbox({ browsers })).rejects.toBeInstanceOf(TypeError);
});

it("has the lists for servers that are not its own", () => {
  const { allowedHeaders, allowedMethods, exposedHeaders } = corsLists([{ policy: mailboxPolicy }]);
  expect(allowedHeaders).toEqual(expect.arrayContaining(["mailbox-session", "x-grpc-web"]));
  expect(allowedMethods).toEqual(["POST", "GET"]);
  expect(exposedHeaders).toContain("grpc-status-details-bin");
});
