import type { ClientOrder } from "../clients/client-order.ts";
import { runId as fixedRunId } from "../servers/answers.ts";
import type { Subject } from "../subjects.ts";
import type { Sample } from "../workloads.ts";
import { inRun } from "./run.ts";

/** How many messages a round has. */
export const roundMessages = 100;

/** Has a client make small calls for so many seconds, and checks each answer. */
export async function callFromClient(
  client: Subject,
  atOnce: number,
  seconds: number,
): Promise<Sample> {
  const before = client.cpuNanoseconds();
  const run = { runId: String(fixedRunId), token: client.token };
  const measured = await order(client, { do: "call", ...run, seconds, atOnce });
  const calls = Number(measured.calls);
  return {
    value: calls / Number(measured.seconds),
    cpuUs: (client.cpuNanoseconds() - before) / 1000 / calls,
    p50Ms: Number(measured.p50Ms),
    p99Ms: Number(measured.p99Ms),
  };
}

/**
 * Has a client push messages and pull the replies, round after round for so many
 * seconds. Making the messages ready and what nodes do between is not measured.
 */
export function exchangeRounds(client: Subject, seconds: number): Promise<Sample> {
  return inRun(client, async (_, { runId, token }) => {
    const run = { runId: String(runId), token };
    let [rounds, taken, cpu] = [0, 0, 0];
    const timed = async (what: ClientOrder) => {
      const before = client.cpuNanoseconds();
      taken += Number((await order(client, what)).seconds);
      cpu += client.cpuNanoseconds() - before;
    };
    while (taken < seconds) {
      rounds += 1;
      await order(client, { do: "prepare", ...run, messages: roundMessages, number: rounds });
      await timed({ do: "push" });
      const { answered } = await client.server.ask(`answer ${runId}`);
      if (answered !== roundMessages) throw new Error(`${answered} messages reached their nodes`);
      await timed({ do: "pull", replies: roundMessages });
    }
    const messages = rounds * roundMessages;
    return { value: messages / taken, cpuUs: cpu / 1000 / messages };
  });
}

function order(client: Subject, what: ClientOrder) {
  return client.ask(JSON.stringify(what));
}
