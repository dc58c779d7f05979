import type { BrowserContext, Page, Request } from "playwright-core";

/** How the page is opened; see the example's main.ts. */
export interface TabOptions {
  readonly origin: string;
  readonly node: string;
  readonly seed?: number;
  /** Default: 20, so that the page looks for messages every 50 ms. */
  readonly pace?: number;
}

/** Opens the example's page, and records what it says and asks. */
export async function openTab(context: BrowserContext, options: TabOptions) {
  const { origin, ...given } = { pace: 20, ...options };
  const page = await context.newPage();
  const said: string[] = [];
  const requests: Request[] = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => requests.push(request));
  const parameters = Object.entries(given).map(([name, value]) => [name, String(value)]);
  await page.goto(`${origin}/?${new URLSearchParams(parameters)}`);
  return {
    page,
    said,
    requests,
    join: () => page.getByRole("button", { name: "Join" }).click(),
    status: () => page.locator("#status-text").textContent(),
  };
}

/** All texts in which a page could leave a secret behind. */
export function tracesOf(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const caught = performance.getEntries().map((entry) => entry.name);
    const databases = (await indexedDB.databases()).map(({ name }) => name ?? "");
    return [
      ...[location.href, document.title, document.cookie, document.documentElement.outerHTML],
      ...[JSON.stringify(history.state), JSON.stringify({ ...localStorage })],
      ...[JSON.stringify({ ...sessionStorage }), window.name, ...caught, ...databases],
      ...(await caches.keys()),
    ];
  });
}
