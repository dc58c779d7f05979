/** Header fields as they arrived, in order, repeated ones repeated; names in lower case. */
export type RawHeaders = readonly (readonly [name: string, value: string])[];

const noValues: readonly string[] = Object.freeze([]);

/** What a field takes besides its characters, in bytes: node:http2 keeps each text outside the heap. */
const fieldBytes = 512;

/**
 * The header fields of a request. Looked up in the list that Node made of them:
 * a call asks for few, and a table of all would cost more.
 */
export class HeaderList {
  // Private by name, not by type: the list holds the secrets, and an inspected
  // or logged call must not show them.
  readonly #flat: readonly string[];

  /** @param flat - names in lower case and values, in turn; HTTP/2's pseudo headers may be among them. */
  constructor(flat: readonly string[]) {
    this.#flat = flat;
  }

  /** Number of fields, pseudo headers not counted. */
  get count(): number {
    const flat = this.#flat;
    let count = flat.length >> 1;
    // Pseudo headers come first (RFC 9113, section 8.3).
    for (let i = 0; i < flat.length && isPseudo(flat[i]); i += 2) {
      count--;
    }
    return count;
  }

  /** About how much memory the fields take, in bytes. */
  get memoryBytes(): number {
    const flat = this.#flat;
    let bytes = (flat.length >> 1) * fieldBytes;
    for (const text of flat) {
      bytes += text.length;
    }
    return bytes;
  }

  /** Returns every value of a field, in order. */
  values(name: string): readonly string[] {
    const flat = this.#flat;
    let values: string[] | undefined;
    for (let i = 0; i + 1 < flat.length; i += 2) {
      if (flat[i] === name) {
        const value = flat[i + 1] ?? "";
        if (values === undefined) {
          values = [value];
        } else {
          values.push(value);
        }
      }
    }
    return values ?? noValues;
  }

  /** Returns the value of a field as a `Headers` object would: repeated ones joined; null if there is none. */
  get(name: string): string | null {
    const flat = this.#flat;
    let joined: string | null = null;
    for (let i = 0; i + 1 < flat.length; i += 2) {
      if (flat[i] === name) {
        const value = trim(flat[i + 1] ?? "");
        joined = joined === null ? value : `${joined}, ${value}`;
      }
    }
    return joined;
  }

  /** Returns the fields as pairs, without pseudo headers. */
  pairs(): RawHeaders {
    const flat = this.#flat;
    const pairs: [string, string][] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const name = flat[i] ?? "";
      if (!isPseudo(name)) {
        pairs.push([name, flat[i + 1] ?? ""]);
      }
    }
    return pairs;
  }
}

/** Puts the names of a flat list, as node:http has them, into lower case. */
export function lowerCaseNames(flat: readonly string[]): readonly string[] {
  return flat.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text));
}

function isPseudo(name: string | undefined): boolean {
  return name !== undefined && name.charCodeAt(0) === 0x3a;
}

/** Without the blanks at both ends that HTTP allows around a value (RFC 9110, section 5.5). */
function trim(value: string): string {
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(value.length - 1);
  return first <= 0x20 || last <= 0x20 ? value.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "") : value;
}
