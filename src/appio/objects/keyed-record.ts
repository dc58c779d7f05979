/** The items of a record: an object, a Map, or any iterable of pairs. */
export type Items<V> = Readonly<Record<string, V>> | Iterable<readonly [string, V]>;

/**
 * What all records have in common: values under keys, in the order in which
 * the keys were first set, as in a Map. The order is part of a record's id.
 *
 * An object literal moves keys that look like integers (`{ b: 1, 2: 1 }`) to
 * the front; give a Map or an array of pairs where such keys must keep their
 * place.
 */
export abstract class KeyedRecord<V> implements Iterable<readonly [string, V]> {
  readonly #items = new Map<string, V>();

  constructor(items: Items<V> = {}) {
    for (const [key, value] of isIterable(items) ? items : Object.entries(items)) {
      this.set(key, value);
    }
  }

  /** The record's type, for error messages. */
  protected abstract get typeName(): string;

  /**
   * Returns the value as it is kept.
   *
   * @throws TypeError naming the key, if the record cannot hold the value.
   */
  protected abstract accept(key: string, value: V): V;

  /** How many keys there are. */
  get size(): number {
    return this.#items.size;
  }

  /** Tells whether there is a value under the key. */
  has(key: string): boolean {
    return this.#items.has(key);
  }

  /**
   * Returns the value under the key.
   *
   * @throws RangeError naming the key and those that exist, if there is none.
   */
  get(key: string): V {
    const value = this.#items.get(key);
    if (value === undefined) {
      const known = Array.from(this.#items.keys(), (name) => JSON.stringify(name));
      throw new RangeError(
        `${this.typeName} has no key ${JSON.stringify(key)}; its keys are: ${known.join(", ") || "none"}`,
      );
    }
    return value;
  }

  /** Returns the value under the key, or undefined. */
  find(key: string): V | undefined {
    return this.#items.get(key);
  }

  /**
   * Puts a value under a key; a new key comes last, a known one keeps its place.
   *
   * @throws TypeError naming the key, if the record cannot hold the value, or if
   * the key is not a string that UTF-8 can express.
   */
  set(key: string, value: V): this {
    if (typeof key !== "string" || !isWellFormed(key)) {
      throw new TypeError(
        `a key of ${this.typeName} must be a well-formed string, not ${JSON.stringify(key)}`,
      );
    }
    this.#items.set(key, this.accept(key, value));
    return this;
  }

  /** Removes a key; false if there was none. */
  delete(key: string): boolean {
    return this.#items.delete(key);
  }

  /** The keys, in order. */
  keys(): MapIterator<string> {
    return this.#items.keys();
  }

  /** The values, in the order of their keys. */
  values(): MapIterator<V> {
    return this.#items.values();
  }

  /** The pairs of key and value, in order. */
  entries(): MapIterator<[string, V]> {
    return this.#items.entries();
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.#items.entries();
  }
}

/** Tells whether a string has no lone surrogate, which UTF-8 cannot express. */
export function isWellFormed(value: string): boolean {
  return !/\p{Surrogate}/u.test(value);
}

function isIterable<V>(items: Items<V>): items is Iterable<readonly [string, V]> {
  return Symbol.iterator in items;
}
