import { createRouterTransport, type Transport } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import {
  createAuthenticatedClient,
  inProcess,
  type LocatedTransport,
  parseToken,
  type TransportToOptions,
  transportTo,
} from "countersign";
import { afterEach, describe, expect, test, vi } from "vitest";
import { isLoopback } from "../../src/client/located-transport.ts";
import { collect, listen, type RawServer, recordingMailbox, sessionPolicy } from "./mailbox.ts";

const token = parseToken("s3cret");
const authenticate = (transport: LocatedTransport) =>
  createAuthenticatedClient(sessionPolicy, transport, { session: token });
const to = (baseUrl: string, options?: TransportToOptions) =>
  transportTo(web.createGrpcWebTransport, { baseUrl, ...options });

const servers: RawServer[] = [];
afterEach(async () => {
  vi.unstubAllGlobals();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

describe("transportTo", () => {
  test.each([
    "https://superlink.example",
    "https://10.0.0.1:9091/api",
    "http://localhost:9091",
    "http://LOCALHOST",
    "http://run.localhost",
    "http://127.0.0.1:9091",
    "http://127.255.255.254",
    "http://127.1",
    "http://0x7f.0.0.1",
    "http://[::1]:9091",
    "http://[0:0:0:0:0:0:0:1]",
  ])("lets a secret go to %s", (baseUrl) => {
    expect(() => authenticate(to(baseUrl))).not.toThrow();
  });

  test.each([
    "http://superlink.example",
    "http://10.0.0.1:9091",
    "http://0.0.0.0:9091",
    "http://[::]:9091",
    "http://[::2]",
    "http://126.0.0.1",
    "http://127.0.0.1.evil.example",
    "http://127.evil.example",
    "http://localhost.evil.example",
    "http://notlocalhost",
    "http://user:hunter2@superlink.example",
    "http://localhost@superlink.example",
  ])("keeps a secret from %s in plaintext", (baseUrl) => {
    expect(() => authenticate(to(baseUrl))).toThrow(
      new TypeError(
        `"transport" sends in plaintext to ${new URL(baseUrl).origin}, which is not a loopback address: ` +
          'use https:, or pass "allowPlaintext: true" to transportTo(...) to send secrets anyway',
      ),
    );
    expect(() => authenticate(to(baseUrl))).not.toThrow("hunter2");
  });

  test("sends in plaintext to another host when told to", () => {
    expect(() => authenticate(to("http://a.example", { allowPlaintext: true }))).not.toThrow();
    expect(() => authenticate(to("http://a.example", { allowPlaintext: false }))).toThrow(
      TypeError,
    );
  });

  test.each(["", "/", "localhost:9091", "superlink.example", "ftp://a", "file:///a", "http://"])(
    "refuses the base URL %j",
    (baseUrl) => {
      expect(() => to(baseUrl)).toThrow(
        new TypeError(
          '"baseUrl" must be an http: or https: URL, such as "https://superlink.example:9091"',
        ),
      );
    },
  );

  test("refuses an allowPlaintext that is not a boolean", () => {
    const options: object = { allowPlaintext: "no" };
    expect(() => to("http://a.example", options)).toThrow('"allowPlaintext" must be true or false');
  });

  test("resolves a relative base URL against the page", () => {
    vi.stubGlobal("location", { href: "https://app.example/runs/1" });
    expect(() => authenticate(to("/"))).not.toThrow();
    vi.stubGlobal("location", { href: "http://app.example/runs/1" });
    expect(() => authenticate(to("/"))).toThrow("in plaintext to http://app.example");
    expect(() => authenticate(to("//localhost:9091"))).not.toThrow();
  });

  test("resolves a relative base URL as fetch does where the page has a base element", () => {
    vi.stubGlobal("location", { href: "https://app.example/" });
    vi.stubGlobal("document", { baseURI: "http://cdn.example/" });
    expect(() => authenticate(to("api"))).toThrow("in plaintext to http://cdn.example");
  });

  test("keeps the address it was made with", async () => {
    const { routes, seen } = recordingMailbox();
    const here = await listen("1.1", node.connectNodeAdapter({ routes }));
    const there = await listen("1.1", node.connectNodeAdapter({ routes: () => {} }));
    servers.push(here, there);
    const options = { baseUrl: here.url };
    const client = authenticate(transportTo(web.createGrpcWebTransport, options));
    options.baseUrl = there.url;
    await client.countLetters({});
    expect(seen).toHaveLength(1);
    expect(there.requests).toHaveLength(0);
  });
});

describe("an authenticated client", () => {
  const message =
    '"transport" must be made by transportTo(factory, { baseUrl }) or inProcess(transport)';
  const located = to("https://a.example");
  // What a JavaScript program may pass, past the compiler.
  const forged: [string, object | null | undefined][] = [
    ["no transport", undefined],
    ["null", null],
    ["a plain transport", web.createGrpcWebTransport({ baseUrl: "https://a.example" })],
    ["a copy of a located transport", { ...located }],
    ["an heir of a located transport", Object.create(located)],
  ];
  test.each(forged)("refuses %s", (_, transport) => {
    expect(() => authenticate(transport as LocatedTransport)).toThrow(new TypeError(message));
  });

  test("refuses a located transport whose methods were replaced", () => {
    expect(() => Object.assign(located, { unary: () => {} })).toThrow(TypeError);
  });
});

const someTransport = createRouterTransport(() => {});

test.each<[string, object | null | undefined]>([
  ["nothing", undefined],
  ["null", null],
  ["an empty object", {}],
  ["what makes unary calls only", { unary: someTransport.unary }],
  ["what makes streams only", { stream: someTransport.stream }],
])("inProcess refuses %s", (_, transport) => {
  expect(() => inProcess(transport as Transport)).toThrow(
    new TypeError('"transport" must be a connect Transport'),
  );
});

test("a transport keeps its own `this`", async () => {
  const calledOn: unknown[] = [];
  function fail(this: unknown): Promise<never> {
    calledOn.push(this);
    return Promise.reject(new Error("not sent"));
  }
  const transport: Transport = { unary: fail, stream: fail };
  const client = authenticate(inProcess(transport));
  await expect(client.countLetters({})).rejects.toThrow("not sent");
  await expect(collect(client.watchLetters({}))).rejects.toThrow("not sent");
  expect(calledOn.map((each) => each === transport)).toEqual([true, true]);
});

test.each(["x127.0.0.1", "127.0.0.1x", "127.0.0", "127.0.0.1234", "[::1", "localhost.", "::1"])(
  "%s is no loopback address",
  (hostname) => {
    expect(isLoopback(hostname)).toBe(false);
  },
);

describe("a redirect never carries the token elsewhere", () => {
  const factories: Record<string, ["1.1" | "2", (baseUrl: string) => LocatedTransport]> = {
    "gRPC-web in a browser": ["1.1", to],
    "Connect in a browser": [
      "1.1",
      (baseUrl: string) => transportTo(web.createConnectTransport, { baseUrl }),
    ],
    "Connect GET in a browser": [
      "1.1",
      (baseUrl: string) => transportTo(web.createConnectTransport, { baseUrl, useHttpGet: true }),
    ],
    "gRPC in Node": ["2", (baseUrl: string) => transportTo(node.createGrpcTransport, { baseUrl })],
    "gRPC-web in Node": [
      "1.1",
      (baseUrl: string) =>
        transportTo(node.createGrpcWebTransport, { baseUrl, httpVersion: "1.1" }),
    ],
    "Connect in Node": [
      "1.1",
      (baseUrl: string) =>
        transportTo(node.createConnectTransport, { baseUrl, httpVersion: "1.1" }),
    ],
  };
  for (const [name, [httpVersion, make]] of Object.entries(factories)) {
    test.each([301, 302, 303, 307, 308])(`${name}, status %i`, async (status) => {
      const thief = await listen(httpVersion, (_, response) => void response.end());
      servers.push(thief);
      const redirecting = await listen(httpVersion, (request, response) => {
        response.statusCode = status;
        response.setHeader("location", `${thief.url}${request.url}`);
        response.end();
      });
      servers.push(redirecting);
      const client = authenticate(make(redirecting.url));
      await expect(client.countLetters({})).rejects.toThrow();
      expect(redirecting.requests).toHaveLength(1);
      expect(thief.requests).toHaveLength(0);
    });
  }
});
