import { MultiBar } from "cli-progress";

/** One round, as the ServerApp logs it. */
export interface Round {
  readonly round: number;
  readonly rounds: number;
  readonly accuracy: number;
  readonly loss: number;
}

/** How many calls of one RPC a guard allowed and refused. */
export interface Decision {
  readonly service: string;
  readonly method: string;
  readonly allowed: bigint;
  readonly refused: bigint;
}

/** Shows rounds as they end: as a progress bar on a terminal, else as lines. */
export interface Progress {
  show(round: Round): void;
  stop(): void;
}

/** Begins to show progress. */
export function startProgress(rounds: number): Progress {
  if (!process.stdout.isTTY) {
    return { show: (round) => console.log(formatRound(round)), stop: () => {} };
  }
  const bars = new MultiBar({
    format: "training [{bar}] round {value}/{total}  accuracy {accuracy}",
    hideCursor: true,
  });
  const bar = bars.create(rounds, 0, { accuracy: "-" });
  return {
    show(round) {
      bars.log(`${formatRound(round)}\n`);
      bar.update(round.round, { accuracy: percent(round.accuracy) });
      // Lines of the log are written when the bars are drawn, which stop() does not wait for.
      bars.update();
    },
    stop: () => bars.stop(),
  };
}

function formatRound({ round, rounds, accuracy, loss }: Round): string {
  return `round ${String(round).padStart(2)}/${rounds}  accuracy ${percent(accuracy)}  loss ${loss.toFixed(3)}`;
}

/** Reads a round from a line of the run's log; undefined for any other line. */
export function parseRound(line: string): Round | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { round, rounds, accuracy, loss } = { ...value } as Record<string, unknown>;
  return typeof round === "number" &&
    typeof rounds === "number" &&
    typeof accuracy === "number" &&
    typeof loss === "number"
    ? { round, rounds, accuracy, loss }
    : undefined;
}

/** The counters as a table per service, in the order in which they come; RPCs that nobody called are left out. */
export function formatDecisions(decisions: readonly Decision[]): string {
  const called = decisions.filter(({ allowed, refused }) => allowed + refused > 0n);
  const services = new Set(called.map(({ service }) => service));
  return Array.from(services, (service) => {
    const rows = called.filter((decision) => decision.service === service);
    const lines = rows.map(
      ({ method, allowed, refused }) =>
        `  ${method.padEnd(24)}${String(allowed).padStart(9)}${String(refused).padStart(9)}`,
    );
    return [`${service.padEnd(26)}${"allowed".padStart(9)}${"refused".padStart(9)}`, ...lines].join(
      "\n",
    );
  }).join("\n");
}

/** A share as a percentage with one decimal. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
