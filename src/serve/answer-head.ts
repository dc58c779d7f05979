import type { OutgoingHttpHeaders } from "node:http";

/** Status 200 and the headers of an answer, in the two forms in which Node takes them. */
export class AnswerHead {
  /** The headers alone. */
  readonly headers: OutgoingHttpHeaders;
  #list: readonly string[] = [];
  #listedAt = Number.NaN;

  constructor(headers: OutgoingHttpHeaders) {
    this.headers = headers;
  }

  /**
   * Names and values in turn, the status and the date among them. HTTP/2 streams of
   * Node 22.20 and 24.8 or later take such a list as it is, and need no copy for each answer.
   */
  get list(): readonly string[] {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.#listedAt) {
      this.#listedAt = second;
      this.#list = listOf(this.headers, new Date(second * 1000));
    }
    return this.#list;
  }
}

function listOf(headers: OutgoingHttpHeaders, date: Date): readonly string[] {
  const list = [":status", "200"];
  for (const [name, values = []] of Object.entries(headers)) {
    for (const value of [values].flat()) {
      list.push(name, String(value));
    }
  }
  if (headers.date === undefined) {
    list.push("date", date.toUTCString());
  }
  return list;
}
