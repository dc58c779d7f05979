import { generate } from "selfsigned";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  fromRecord,
  type Line,
  lossOf,
  startLine,
  stepTowards,
} from "../../examples/browser/app/line.ts";
import { measure } from "../../examples/browser/page/measurements.ts";
import { buildPage, type Page, servePage } from "../../examples/browser/page-server.ts";
import type { SuperNodeOptions } from "../../src/appio/supernode/supernode.ts";
import { hasChromium, type RunningChromium, startChromium } from "./chromium.ts";
import { startExample } from "./example.ts";
import { startFederation, type Task } from "./federation.ts";
import { openTab, tracesOf } from "./tab.ts";

const task: Task = { line: { slope: 0.5, intercept: -0.25 }, steps: 20, learningRate: 0.05 };
const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 20_000, interval: 20 });

/** What an app that trains as the page's does makes of a task, without any page. */
function expectedOf({ line, steps, learningRate }: Task, seed: number): Line {
  const points = measure(seed);
  let trained = line;
  for (let step = 0; step < steps; step++) trained = stepTowards(trained, points, learningRate);
  return trained;
}

describe.runIf(hasChromium)("a tab of Chromium", () => {
  let chromium: RunningChromium;
  let page: Page;
  const cleanups: AsyncDisposable[] = [];

  beforeAll(async () => {
    [chromium, page] = await Promise.all([startChromium(), buildPage()]);
  });
  afterEach(async () => {
    for (const each of cleanups.splice(0).reverse()) await each[Symbol.asyncDispose]();
  });
  afterAll(() => chromium?.[Symbol.asyncDispose]());

  function later(cleanup: () => Promise<void>): void {
    cleanups.push({ [Symbol.asyncDispose]: cleanup });
  }

  /** Serves the page, from an origin of its own each time. */
  async function pageOrigin(): Promise<string> {
    const server = await servePage(page, 0);
    later(server.close);
    return server.origin;
  }

  /** A federation whose node lets in the pages of one origin. */
  async function federationFor(origin: string, options: Partial<SuperNodeOptions> = {}) {
    const browsers = { origins: [origin], hosts: ["127.0.0.1"] };
    const federation = await startFederation({ browsers, ...options });
    cleanups.push(federation);
    return federation;
  }

  async function newContext(options: { readonly ignoreHTTPSErrors?: boolean } = {}) {
    const context = await chromium.browser.newContext(options);
    later(() => context.close());
    return context;
  }

  it("answers a ServerApp's message, which counts the numbers that the page has computed", async () => {
    const origin = await pageOrigin();
    const federation = await federationFor(origin);
    const run = await federation.startRun(task);
    const tab = await openTab(await newContext(), { origin, node: federation.nodeUrl, seed: 7 });
    await tab.join();

    const { kind, replies } = await run.replies();
    expect(kind).toBe("completed");
    expect(replies).toHaveLength(1);
    const [reply] = replies;
    const trained = expectedOf(task, 7);
    expect(fromRecord(reply?.content.getArrayRecord("model") ?? expect.fail())).toEqual(trained);
    const metrics = reply?.content.getMetricRecord("metrics");
    expect(metrics?.getInteger("examples")).toBe(48n);
    expect(metrics?.getNumber("loss")).toBe(lossOf(trained, measure(7)));
    expect(await run.status()).toMatchObject({ status: "finished", subStatus: "completed" });

    // The page shows it too, and looks for the next message.
    await eventually(() => tab.page.locator("#answered").textContent()).toBe("1");
    expect(await tab.page.locator("#run").textContent()).toBe(String(run.runId));
    await eventually(tab.status).toContain("no message waits");
    expect(federation.allowed("RequestToken")).toBe(1);
    expect(federation.allowed("SendAppHeartbeat")).toBeGreaterThan(0);
    expect(tab.said).toEqual([]);
  });

  it("keeps the token out of the address, storage, page and console", async () => {
    const origin = await pageOrigin();
    const federation = await federationFor(origin);
    const run = await federation.startRun({ ...task, steps: 40 });
    const tab = await openTab(await newContext(), { origin, node: federation.nodeUrl });
    await tab.join();
    await eventually(() => tab.page.locator("#message").textContent()).toContain("train");
    const during = await tracesOf(tab.page);
    expect((await run.replies()).kind).toBe("completed");
    const after = await tracesOf(tab.page);

    const headers = await Promise.all(tab.requests.map((request) => request.allHeaders()));
    const [token = "", ...others] = new Set(
      headers.flatMap((each) => each["flwr-app-token"] ?? []),
    );
    expect([token.length, others]).toEqual([256, []]);
    const urls = tab.requests.map((request) => request.url());
    const traces = [...during, ...after, ...urls, ...tab.said];
    expect(traces.filter((trace) => trace.includes(token.slice(0, 16)))).toEqual([]);
    // What would hold it is looked at: the page's own text is among the traces.
    expect(traces.filter((trace) => trace.includes("This tab answers"))).toHaveLength(2);
  });

  it("is refused when its page comes from another origin, and the message waits on", async () => {
    const federation = await federationFor(await pageOrigin());
    const run = await federation.startRun(task);
    const origin = await pageOrigin();
    const tab = await openTab(await newContext(), { origin, node: federation.nodeUrl });
    await tab.join();
    await eventually(tab.status).toContain("does not let pages of this origin in");
    expect(tab.said.join()).toContain("blocked by CORS policy");
    expect(federation.allowed("ListAppsToLaunch")).toBe(0);
    await eventually(federation.pendingRuns).toEqual([run.runId]);
    expect(federation.allowed("RequestToken")).toBe(0);
  });

  it("is refused when it reaches the node under a name that is not listed", async () => {
    const origin = await pageOrigin();
    const federation = await federationFor(origin);
    const node = federation.nodeUrl.replace("127.0.0.1", "localhost");
    const tab = await openTab(await newContext(), { origin, node });
    await tab.join();
    await eventually(tab.status).toContain("does not let pages of this origin in");
    expect(federation.allowed("ListAppsToLaunch")).toBe(0);
  });

  it("answers over TLS", async () => {
    const altNames = [{ type: 7 as const, ip: "127.0.0.1" }];
    const made = await generate([{ name: "commonName", value: "127.0.0.1" }], {
      keyType: "ec",
      algorithm: "sha256",
      extensions: [{ name: "subjectAltName", altNames }],
    });
    const origin = await pageOrigin();
    const federation = await federationFor(origin, { tls: { cert: made.cert, key: made.private } });
    const run = await federation.startRun(task);
    const context = await newContext({ ignoreHTTPSErrors: true });
    const tab = await openTab(context, { origin, node: federation.nodeUrl, seed: 1 });
    await tab.join();
    const { replies } = await run.replies();
    expect(federation.nodeUrl).toMatch(/^https:/);
    const model = replies[0]?.content.getArrayRecord("model") ?? expect.fail();
    expect(fromRecord(model)).toEqual(expectedOf(task, 1));
  });

  it("sends its heartbeats in the background too, where the page's own timers are throttled", async () => {
    const origin = await pageOrigin();
    const federation = await federationFor(origin);
    const run = await federation.startRun({ ...task, steps: 160 });
    const [context = expect.fail()] = chromium.browser.contexts();
    // Heartbeats come every 87 to 113 ms at this pace.
    const tab = await openTab(context, { origin, node: federation.nodeUrl, pace: 200, seed: 3 });
    later(() => tab.page.close());
    await tab.join();
    await eventually(() => federation.allowed("SendAppHeartbeat")).toBeGreaterThan(0);
    const front = await context.newPage();
    later(() => front.close());
    await front.bringToFront();
    await eventually(() => tab.page.evaluate(() => document.visibilityState)).toBe("hidden");

    const timer = await tab.page.evaluateHandle(() => {
      const counted = { ticks: 0 };
      const tick = () => {
        counted.ticks += 1;
        setTimeout(tick, 100);
      };
      setTimeout(tick, 100);
      return counted;
    });
    const before = federation.allowed("SendAppHeartbeat");
    await eventually(() => federation.allowed("SendAppHeartbeat")).toBeGreaterThanOrEqual(
      before + 12,
    );
    const ticks = await timer.evaluate((counted) => counted.ticks);
    console.log(`hidden tab: 12 heartbeats by the Worker, ${ticks} ticks of 100 ms by the page`);
    expect(ticks).toBeLessThan(6);

    const { kind, replies } = await run.replies();
    expect([kind, replies.length]).toEqual(["completed", 1]);
    expect(await tab.page.evaluate(() => document.visibilityState)).toBe("hidden");
  });

  it("answers every round of the example, whose processes let its page in", async () => {
    const example = startExample(2);
    later(example.stop);
    const context = await newContext();
    const tab = await context.newPage();
    await tab.goto(`${await example.pageUrl}&seed=5&pace=20`);
    await tab.getByRole("button", { name: "Join" }).click();
    const { code, lines, errors } = await example.ended;
    expect([code, errors]).toEqual([0, ""]);
    const rounds = lines.filter((line) => line.startsWith("Round"));
    const { slope, intercept } = expectedOf({ line: startLine, steps: 60, learningRate: 0.02 }, 5);
    expect(rounds).toEqual([
      expect.stringMatching(/^Round 1 of 2: y = .* from 48 measurements$/),
      `Round 2 of 2: y = ${slope.toFixed(3)} x + ${intercept.toFixed(3)}, from 48 measurements`,
    ]);
  }, 90_000);
});
