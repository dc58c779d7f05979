import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Subject } from "../subjects.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const settingsAck = Buffer.from([0, 0, 0, 4, 1, 0, 0, 0, 0]);

/** How many connections are opened at once: a server's backlog is finite. */
const batch = 100;

/**
 * Opens HTTP/2 connections that call nothing; returns the server's memory for each, in bytes.
 *
 * @param settleMs how long memory is left to settle.
 */
export async function openIdleConnections(
  server: Subject,
  { count, settleMs }: { readonly count: number; readonly settleMs: number },
): Promise<number> {
  const port = Number(new URL(server.url).port);
  const sockets: Socket[] = [];
  await delay(settleMs);
  const before = server.residentBytes();
  try {
    while (sockets.length < count) {
      const size = Math.min(batch, count - sockets.length);
      sockets.push(...(await Promise.all(Array.from({ length: size }, () => openIdle(port)))));
    }
    await delay(settleMs);
    const lost = sockets.filter((socket) => socket.closed).length;
    if (lost > 0) throw new Error(`${server.label} has closed ${lost} idle connections`);
    return (server.residentBytes() - before) / count;
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

async function openIdle(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write(preface);
  socket.write(settings);
  await once(socket, "data");
  socket.write(settingsAck);
  return socket.resume();
}
