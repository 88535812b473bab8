// Lines of a stream, one promise each; and a bound for promises.
import assert from "node:assert/strict";

export async function within(milliseconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: `not within ${milliseconds} ms: ${what}` })), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export class LineReader {
  #lines = [];
  #waiting = [];
  #rest = Buffer.alloc(0);
  #ended = false;

  constructor(stream) {
    stream.on("data", (chunk) => this.#take(chunk));
    const end = () => {
      this.#ended = true;
      this.#waiting.splice(0).forEach((resolve) => resolve(null));
    };
    stream.on("end", end).on("close", end);
  }

  // The next line without its newline; null at the end.
  next() {
    if (this.#lines.length > 0) return Promise.resolve(this.#lines.shift());
    if (this.#ended) return Promise.resolve(null);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #take(chunk) {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (let at = this.#rest.indexOf(10); at >= 0; at = this.#rest.indexOf(10)) {
      const line = this.#rest.subarray(0, at).toString("utf8");
      this.#rest = this.#rest.subarray(at + 1);
      if (this.#waiting.length > 0) this.#waiting.shift()(line);
      else this.#lines.push(line);
    }
  }
}
